"""An event that is set once, for threads, asyncio and trio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
from collections.abc import Callable

import anyio
import sniffio
import trio


class Gate:
    """An event that any thread sets, and that threads and tasks of any event loop wait for."""

    def __init__(self) -> None:
        self._future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def set(self) -> None:
        """Wake all waiters; a second call does nothing."""
        if not self._future.done():
            self._future.set_result(None)

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._future.done()

    def wait(self, timeout: float) -> bool:
        """Block until it is set, for at most `timeout` seconds; return whether it is."""
        concurrent.futures.wait([self._future], timeout)
        return self.is_set()

    async def wait_async(self, timeout: float) -> bool:  # noqa: ASYNC109  the twin of `wait`
        """Wait until it is set, for at most `timeout` seconds; return whether it is."""
        with anyio.move_on_after(timeout):
            if sniffio.current_async_library() == "asyncio":
                # Not wrap_future: its cancellation would cancel the future of the other waiters.
                woken, loop = asyncio.Event(), asyncio.get_running_loop()
                self._call(lambda: loop.call_soon_threadsafe(woken.set))
                await woken.wait()
            else:
                event, token = trio.Event(), trio.lowlevel.current_trio_token()
                self._call(lambda: token.run_sync_soon(event.set))
                await event.wait()
        return self.is_set()

    def _call(self, wake: Callable[[], object]) -> None:
        def call(_: object) -> None:
            with contextlib.suppress(RuntimeError, trio.RunFinishedError):  # its event loop has ended
                wake()

        self._future.add_done_callback(call)
