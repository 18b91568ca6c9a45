"""Fixtures: asyncio and trio, for tests of both; and a process without a portal."""

from __future__ import annotations

import pytest
import trio

from tests._support.libraries import Run, run_asyncio


@pytest.fixture(params=[run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine function in one of the two."""
    runner: Run = request.param
    return runner


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without a portal, since another test's can still be busy."""
    monkeypatch.setattr("seic._portal._portals", {})
