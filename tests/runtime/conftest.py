"""Both libraries, for tests that hold in either."""

from __future__ import annotations

import pytest
import trio

from tests._support.libraries import Run, run_asyncio


@pytest.fixture(params=[run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function in either library."""
    runner: Run = request.param
    return runner
