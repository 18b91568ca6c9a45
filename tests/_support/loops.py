"""An event loop that a test stops where it stands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from tests._support.libraries import PATIENCE


class Loop:
    """An event loop in a thread of its own, that can be stopped where it stands."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine function there, and wait for it."""

        async def call() -> Any:
            return await main()

        return self.start(call()).result(PATIENCE)

    def stop(self) -> None:
        """Stop it; its tasks stay where they are."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE)

    def go_on(self) -> None:
        """Let it run again."""
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def close(self) -> None:
        """Cancel what is left, and close it."""
        if self.loop.is_running():
            self.stop()

        async def rest() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(rest())
        self.loop.close()
