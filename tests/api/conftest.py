"""The pauses between repetitions, none of which takes any time."""

from __future__ import annotations

import pytest


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, none of which takes any time; chance is a half."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("seic._api.retry.sleep", sleep)
    monkeypatch.setattr("seic._api.retry.block", made.append)
    monkeypatch.setattr("seic._api.retry.random", lambda: 0.5)
    return made
