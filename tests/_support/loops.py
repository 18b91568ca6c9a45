"""An event loop that a test can pause."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from tests._support.libraries import PATIENCE


class Loop:
    """An event loop in its own thread that can be paused."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine in it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine function in it, and wait for it."""

        async def call() -> Any:
            return await main()

        return self.start(call()).result(PATIENCE)

    def stop(self) -> None:
        """Pause it and its tasks."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)

    def go_on(self) -> None:
        """Resume it."""
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def close(self) -> None:
        """Cancel its tasks, and close it."""
        if self.loop.is_running():
            self.stop()

        async def rest() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(rest())
        self.loop.close()
