"""The latch, the sleep, the deadline and the job, in asyncio, in trio and in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
import trio

from seic._runtime import (
    Job,
    Latch,
    current_trio,
    in_thread,
    is_in_event_loop,
    sleep,
    start_async,
    start_thread,
    within,
)

PATIENCE = 10.0

Run = Callable[[Callable[[], Awaitable[Any]]], Any]


def _run_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def call() -> Any:
        return await main()

    return asyncio.run(call())


@pytest.fixture(params=[_run_asyncio, trio.run], ids=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine function in either library."""
    runner: Run = request.param
    return runner


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def call(self, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run a coroutine function there, and wait for it."""

        async def call() -> Any:
            return await main()

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(PATIENCE)

    def stop(self) -> None:
        """Stop the loop where it stands, and leave its tasks pending."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)

    def drain(self) -> None:
        """Let its tasks end, and close it."""

        async def rest() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.loop.run_until_complete(rest())
        self.loop.close()


# Where one is


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


# Latch


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
        threading.Thread(target=_run_asyncio, args=(wait_in_task,)),
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


# Jobs


class Work:
    """A call that waits for a latch, and what was seen of it."""

    def __init__(self) -> None:
        self.begun = Latch()
        self.go_on = Latch()
        self.seen: list[str] = []
        self.over = Latch()

    async def call(self) -> None:
        """Wait in an event loop."""
        self.begun.set()
        self.seen.append("done" if await self.go_on.wait_async(PATIENCE) else "late")

    def call_blocking(self) -> None:
        """Wait in a thread."""
        self.begun.set()
        self.seen.append("done" if self.go_on.wait(PATIENCE) else "late")

    def ended(self) -> None:
        """Hear of the end."""
        self.seen.append("ended")
        self.over.set()


def test_a_job_outlives_the_task_that_started_it(run: Run) -> None:
    """It runs beside its starter, and tells of its end once."""
    work = Work()

    async def starter() -> Job:
        return start_async(work.call, ended=work.ended)

    async def main() -> None:
        job = await within(PATIENCE, starter)
        await work.begun.wait_async(PATIENCE)
        assert job.is_here()
        assert not job.is_stranded()
        work.go_on.set()
        await work.over.wait_async(PATIENCE)
        assert job.is_stranded()

    run(main)
    assert work.seen == ["done", "ended"]


def test_a_job_can_be_cancelled_from_another_thread(run: Run) -> None:
    """Its end is told all the same, and cancelling it once more does no harm."""
    work = Work()

    async def main() -> Job:
        job = start_async(work.call, ended=work.ended)
        await work.begun.wait_async(PATIENCE)
        await in_thread(job.cancel)
        await work.over.wait_async(PATIENCE)
        return job

    run(main).cancel()
    assert work.seen == ["ended"]


def test_a_job_cancelled_before_its_first_step_tells_of_its_end() -> None:
    """A task of asyncio that never ran has no `finally` either."""
    work = Work()

    async def main() -> None:
        start_async(work.call, ended=work.ended)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await work.over.wait_async(PATIENCE)

    _run_asyncio(main)
    assert work.seen == ["ended"]


def test_a_job_ends_with_its_event_loop(run: Run) -> None:
    """Both libraries cancel what is left when their main function returns."""
    work = Work()

    async def main() -> Job:
        job = start_async(work.call, ended=work.ended)
        await work.begun.wait_async(PATIENCE)
        return job

    job = run(main)
    assert job.is_stranded()
    assert work.seen == ["ended"]


def test_a_job_in_a_loop_that_stands_still_is_stranded_until_it_runs_again() -> None:
    """A stopped loop may never go on; whoever waits for the job should not wait for that."""
    work, loop = Work(), Loop()

    async def main() -> Job:
        job = start_async(work.call, ended=work.ended)
        await work.begun.wait_async(PATIENCE)
        return job

    job: Job = loop.call(main)
    assert not job.is_stranded()
    assert not job.is_here()

    loop.stop()
    assert job.is_stranded()
    loop.drain()
    assert job.is_stranded()
    job.cancel()


def test_a_job_in_one_loop_is_not_here_in_another() -> None:
    """Each loop knows its own jobs only."""
    work, loop = Work(), Loop()

    async def begin() -> Job:
        return start_async(work.call)

    async def look() -> bool:
        return job.is_here()

    job: Job = loop.call(begin)
    assert not _run_asyncio(look)
    assert not trio.run(look)
    loop.stop()
    loop.drain()


def test_a_thread_tells_of_its_end_and_has_the_starters_context() -> None:
    """What a tracer keeps in a context variable is there in the thread."""
    work, variable = Work(), ContextVar[str]("variable")
    variable.set("of the starter")

    def call() -> None:
        work.call_blocking()
        work.seen.append(variable.get())

    job = start_thread(call, ended=work.ended, cancel=work.go_on.set)
    work.begun.wait(PATIENCE)
    assert not job.is_stranded()
    assert not job.is_here()
    job.cancel()
    work.over.wait(PATIENCE)
    assert work.seen == ["done", "of the starter", "ended"]


def test_without_new_threads_the_starter_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter starts none while it shuts down, and a last call still wants its token."""
    work = Work()
    work.go_on.set()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    job = start_thread(work.call_blocking, ended=work.ended)
    assert work.seen == ["done", "ended"]
    assert job.is_stranded()
