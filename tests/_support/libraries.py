"""asyncio and trio: a way to run a coroutine function, and the time limit of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 10.0

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def run_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function in a new event loop."""

    async def call() -> Any:
        return await main()

    return asyncio.run(call())
