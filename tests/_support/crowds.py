"""Many concurrent calls, in threads or in one event loop, and their results."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests._support.mocks import PATIENCE
from tests._support.sources import access_token_of

CALLERS = 100


def in_threads(*calls: Callable[[], Any]) -> list[Future[Any]]:
    """Start each call in its own thread."""
    pool = ThreadPoolExecutor(len(calls))
    futures = [pool.submit(call) for call in calls]
    pool.shutdown(wait=False)
    return futures


def names_of(futures: list[Future[Any]]) -> set[str]:
    """Return the tokens of the results."""
    return {access_token_of(future.result(PATIENCE)) for future in futures}


async def all_of(callers: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Make concurrent calls; return their results and errors."""
    return await asyncio.gather(*(call() for _ in range(callers)), return_exceptions=True)
