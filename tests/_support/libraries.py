"""Running a coroutine function in asyncio or trio, and how long a test waits before it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 10.0

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def run_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run a coroutine function in an event loop of its own."""

    async def call() -> Any:
        return await main()

    return asyncio.run(call())
