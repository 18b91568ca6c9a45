"""Many calls at once, in threads of their own or in one event loop, and what they get."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests._support.fakes.token_endpoint import PATIENCE, name

CALLERS = 100


def in_threads(*calls: Callable[[], Any]) -> list[Future[Any]]:
    """Start each call in a thread of its own."""
    pool = ThreadPoolExecutor(len(calls))
    futures = [pool.submit(call) for call in calls]
    pool.shutdown(wait=False)
    return futures


def names_of(futures: list[Future[Any]]) -> set[str]:
    """Return the tokens that came out."""
    return {name(future.result(PATIENCE)) for future in futures}


async def all_of(callers: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Make so many calls at once; return what each got, its error included."""
    return await asyncio.gather(*(call() for _ in range(callers)), return_exceptions=True)
