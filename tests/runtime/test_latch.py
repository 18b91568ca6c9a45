"""A latch wakes all who wait, wherever they do."""

from __future__ import annotations

import asyncio
import threading

import trio

from seic._runtime import Latch, current_trio, sleep
from tests._support.libraries import PATIENCE, Run, run_asyncio


def test_a_latch_wakes_everyone() -> None:
    """Threads, tasks of two asyncio loops and trio tasks may all wait for one."""
    latch = Latch()
    woken: list[str] = []
    ready = threading.Barrier(4)

    def wait_in_thread() -> None:
        ready.wait(PATIENCE)
        woken.append("thread" if latch.wait(PATIENCE) else "late")

    async def wait_in_task() -> None:
        async def one() -> None:
            woken.append("task" if await latch.wait_async(PATIENCE) else "late")

        if current_trio() is not None:
            async with trio.open_nursery() as nursery:
                for _ in range(3):
                    nursery.start_soon(one)
                await sleep(0)
                ready.wait(PATIENCE)
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(3):
                    group.create_task(one())
                await sleep(0)
                ready.wait(PATIENCE)

    threads = [
        threading.Thread(target=wait_in_thread),
        threading.Thread(target=run_asyncio, args=(wait_in_task,)),
        threading.Thread(target=trio.run, args=(wait_in_task,)),
    ]
    for thread in threads:
        thread.start()
    ready.wait(PATIENCE)
    latch.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert sorted(woken) == ["task"] * 6 + ["thread"]


def test_a_latch_that_is_set_stays_set(run: Run) -> None:
    """Whoever comes later does not wait."""
    latch = Latch()

    async def main() -> bool:
        return await latch.wait_async(None)

    latch.set()
    latch.set()
    assert latch.is_set()
    assert latch.wait(0)
    assert run(main)


def test_waiting_ends_without_the_latch(run: Run) -> None:
    """The time runs out, and the answer says so."""
    latch = Latch()

    async def main() -> bool:
        return await latch.wait_async(0.001)

    assert not run(main)
    assert not latch.wait(0.001)
    assert not latch.is_set()


def test_a_loop_that_has_gone_does_not_keep_others_waiting(run: Run) -> None:
    """Waking one that is closed is no error."""
    latch = Latch()

    async def main() -> bool:
        return await latch.wait_async(0.001)

    run(main)
    latch.set()
    assert run(main)
