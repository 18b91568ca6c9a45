"""A job goes on without who started it, and tells of its end."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

import pytest
import trio

from seic._runtime import Job, Latch, in_thread, start_async, start_thread, within
from tests._support.libraries import PATIENCE, Run, run_asyncio
from tests._support.loops import Loop


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

    run_asyncio(main)
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
    loop.close()
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
    assert not run_asyncio(look)
    assert not trio.run(look)
    loop.stop()
    loop.close()


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
