"""Fixtures: asyncio and trio, for tests of both."""

from __future__ import annotations

import pytest
import trio

from tests._support.libraries import Run, run_asyncio


@pytest.fixture(params=[run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine function in one of the two."""
    runner: Run = request.param
    return runner
