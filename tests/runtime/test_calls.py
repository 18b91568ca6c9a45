"""Where a call runs: the library that it is in, its deadline, a thread for what blocks."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
import trio

from seic._runtime import current_trio, in_thread, is_in_event_loop, sleep, start_async, within
from tests._support.libraries import PATIENCE, Run


def test_each_library_knows_itself(run: Run) -> None:
    """Outside of both there is no event loop."""

    async def main() -> tuple[bool, bool]:
        return current_trio() is trio, is_in_event_loop()

    assert run(main) == (run is trio.run, True)
    assert current_trio() is None
    assert not is_in_event_loop()


def test_a_deadline_ends_a_call(run: Run) -> None:
    """What takes longer is cancelled, and does not go on unseen."""
    ended = []

    async def hang() -> None:
        try:
            await sleep(PATIENCE)
        finally:
            ended.append(True)

    async def main() -> None:
        await within(0.001, hang)

    with pytest.raises(TimeoutError):
        run(main)
    assert ended == [True]


def test_a_call_within_its_deadline_gives_its_result(run: Run) -> None:
    """The deadline leaves no trace."""

    async def answer() -> int:
        await sleep(0)
        return 42

    async def main() -> int:
        return await within(PATIENCE, answer)

    assert run(main) == 42


def test_a_blocking_call_leaves_the_event_loop_free(run: Run) -> None:
    """It runs in another thread, and its result comes back."""

    async def main() -> bool:
        return await in_thread(threading.get_ident) != threading.get_ident()

    assert run(main)


def test_a_library_that_is_being_imported_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of asyncio may look while another is in the middle of the first import of trio."""
    monkeypatch.setitem(sys.modules, "trio", ModuleType("trio"))
    assert current_trio() is None


def test_what_a_blocking_call_raises_is_the_callers(run: Run) -> None:
    """As if it had called it itself."""

    def fail() -> None:
        raise LookupError("of the call's own")

    async def main() -> None:
        await in_thread(fail)

    with pytest.raises(LookupError, match="of the call's own"):
        run(main)


def test_a_blocking_call_that_hangs_holds_up_neither_the_loops_pool_nor_its_end(run: Run) -> None:
    """A pool of two threads serves others while three calls hang, and the loop ends when its program does."""
    go_on = threading.Event()

    async def hang() -> None:
        await in_thread(go_on.wait)

    async def main() -> int:
        if current_trio() is None:
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        else:
            trio.to_thread.current_default_thread_limiter().total_tokens = 2
        for _ in range(3):
            start_async(hang)
        await sleep(0)
        if current_trio() is None:
            return await asyncio.get_running_loop().run_in_executor(None, int)
        return await trio.to_thread.run_sync(int)

    ended: list[int] = []
    running = threading.Thread(target=lambda: ended.append(run(main)), daemon=True)
    running.start()
    running.join(PATIENCE)
    go_on.set()
    assert ended == [0]
