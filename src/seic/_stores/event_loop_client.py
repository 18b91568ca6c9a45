"""`EventLoopClient`: an application's async client of Redis, called from threads in its own event loop."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from seic._concurrency import calling_loop, current_loop
from seic._errors import ConfigurationError
from seic._portal import is_portal, submit_to

if TYPE_CHECKING:
    import asyncio

_T = TypeVar("_T")

#: The longest that a call waits for the loop and for Redis, in seconds; the client may have no limit of its own.
_TIMEOUT = 1.0


class EventLoopClient:
    """The methods of an async client that `RedisStore` uses, for threads.

    Connections of an async client belong to one event loop, so it is never used in another one: not in that of the
    portal, nor in a loop of its own, where it would fail the application's calls.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        #: By process: a child of a fork has no loop of its parent.
        self._loops: dict[int, asyncio.AbstractEventLoop] = {}
        self._own_loop(current_loop())

    def eval(self, *arguments: Any) -> Any:
        """Run a script."""
        return self._wait(lambda: self._client.eval(*arguments), _TIMEOUT)

    def hget(self, *arguments: Any) -> Any:
        """Return a field of a hash."""
        return self._wait(lambda: self._client.hget(*arguments), _TIMEOUT)

    def scan_iter(self, **settings: Any) -> list[Any]:
        """Return the keys that match a pattern."""

        async def scan() -> list[Any]:
            return [key async for key in self._client.scan_iter(**settings)]

        return self._wait(scan, None)

    def _wait(self, call: Callable[[], Coroutine[Any, Any, _T]], seconds: float | None) -> _T:
        loop = self._own_loop(calling_loop.get())
        if loop is None or not loop.is_running():
            raise ConfigurationError(
                "store: the event loop of its async client does not run; pass a blocking client, such as redis.Redis",
                field="store",
            )
        if current_loop() is loop:
            raise ConfigurationError(
                "store: its methods block, and its async client needs this event loop; call them in a thread "
                "(asyncio.to_thread)",
                field="store",
            )

        async def run() -> _T:
            return await call()

        task = submit_to(loop, run)
        try:
            return task.future.result(seconds)
        except BaseException:
            task.cancel()
            raise

    def _own_loop(self, caller: Any) -> asyncio.AbstractEventLoop | None:
        """Return the loop of the client; the caller's if there is none, or a closed one."""
        import asyncio

        loop = self._loops.get(os.getpid())
        is_free = loop is None or loop.is_closed()
        if is_free and isinstance(caller, asyncio.AbstractEventLoop) and not is_portal(caller):
            self._loops[os.getpid()] = loop = caller
        return loop
