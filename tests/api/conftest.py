"""Fixtures: pauses between retries that take no time."""

from __future__ import annotations

import pytest


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses, which take no time; the random number is a half."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    monkeypatch.setattr("seic._api.retry.block", made.append)
    monkeypatch.setattr("seic._api.retry.random", lambda: 0.5)
    return made
