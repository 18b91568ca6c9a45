"""The portal: one loop in a daemon thread for blocking callers; and tasks in the loop of an async caller."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import subprocess
import sys
import threading
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from seic import TokenError, _portal
from seic._concurrency import ForkSafeLock, OneShotEvent, SharedFuture, run_in_thread
from seic._portal import BackgroundTask, is_in_portal, run, start, submit
from tests._support.forking import forks, in_child
from tests._support.libraries import PATIENCE, Run, run_asyncio
from tests._support.loops import Loop


async def _name_of_thread() -> str:
    return threading.current_thread().name


@pytest.mark.usefixtures("fresh")
def test_blocking_callers_share_one_thread_that_ends_when_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread serves any number of calls, and none remains a moment after the last."""
    monkeypatch.setattr("seic._portal._IDLE", 0.2)

    async def here() -> threading.Thread:
        return threading.current_thread()

    threads = {run(here) for _ in range(5)}
    (thread,) = threads
    assert thread.daemon
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert run(here) not in threads


def test_the_portals_loop_is_not_the_policys() -> None:
    """The program's event loop policy does not apply."""

    async def kind() -> type:
        return type(asyncio.get_running_loop())

    assert run(kind) is asyncio.SelectorEventLoop


def test_the_result_and_the_error_are_the_callers() -> None:
    """`run` returns and raises as the coroutine does."""

    async def fail() -> None:
        raise LookupError("its own")

    with pytest.raises(LookupError, match="its own"):
        run(fail)


def test_a_wait_is_bounded() -> None:
    """A late result is an error with a message, and the coroutine is cancelled."""
    ended = OneShotEvent()

    async def hang() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            ended.set()

    with pytest.raises(TokenError, match="no result within"):
        run(hang, seconds=0.01)
    assert ended.wait_sync(PATIENCE)


def test_a_call_in_the_portals_own_thread_is_a_sentence() -> None:
    """It would be a deadlock, so it is an error with a message."""

    async def inside() -> None:
        assert is_in_portal()
        run(_name_of_thread)

    with pytest.raises(TokenError, match="own event loop"):
        run(inside)


@pytest.mark.usefixtures("fresh")
def test_a_process_without_threads_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a server without threads a caller gets an error after a second."""
    monkeypatch.setattr("seic._portal._START", 0.05)
    monkeypatch.setattr(threading.Thread, "start", lambda _thread: None)
    with pytest.raises(TokenError, match="enable-threads"):
        run(_name_of_thread)
    loop = _portal._portal()._loop
    assert loop is not None
    loop.close()


@pytest.mark.usefixtures("fresh")
def test_at_the_interpreters_shutdown_a_call_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread can be started: a blocking call is an error, and user code runs in place."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(TokenError, match="shutting down"):
        run(_name_of_thread)
    assert run_asyncio(lambda: run_in_thread(threading.get_ident)) == threading.get_ident()

    async def inside() -> None:
        run(_name_of_thread)

    with pytest.raises(TokenError, match="shutting down"):
        run_asyncio(inside)


def test_the_coroutine_has_the_callers_context() -> None:
    """It has the context variables of the caller, such as those of a tracer."""
    variable = contextvars.ContextVar[str]("variable")
    variable.set("of the caller")

    async def look() -> str:
        return variable.get()

    assert run(look) == "of the caller"


_HANGING = """
import threading
from seic._concurrency import run_in_thread
from seic._portal import submit
begun = threading.Event()
def hang():
    begun.set()
    threading.Event().wait()
submit(lambda: run_in_thread(hang))
begun.wait()
"""


def test_a_call_that_hangs_does_not_hold_the_exit_up() -> None:
    """The interpreter ends although a callable of the user never returns."""
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", _HANGING], check=True, capture_output=True, timeout=PATIENCE)
    assert ended.stderr == b""
    assert time.monotonic() - began < 5


# Python 3.12 warns of threads at a fork: they are what is tested here.
@forks
def test_a_child_has_a_portal_of_its_own() -> None:
    """The child starts a new portal, and the parent's loop is not damaged."""
    run(_name_of_thread)
    task = submit(lambda: asyncio.sleep(PATIENCE))

    def child() -> str:
        assert not task.is_alive()
        return run(_name_of_thread)

    assert in_child(child) == "seic"
    assert task.is_alive()
    task.cancel()
    assert run(_name_of_thread) == "seic"


@forks
def test_a_lock_that_another_thread_holds_is_free_in_a_child() -> None:
    """There is no deadlock, although the thread that holds it does not exist there."""
    lock, held, let_go = ForkSafeLock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            let_go.wait(PATIENCE)

    def child() -> str:
        with lock, lock:
            return "free"

    threading.Thread(target=hold).start()
    assert held.wait(PATIENCE)
    assert in_child(child) == "free"
    let_go.set()


# Tasks in the loop of a caller


def test_the_first_step_is_taken_at_once() -> None:
    """The coroutine has begun before `start` returns, as a separate task."""
    seen: list[object] = []

    async def call() -> str:
        with anyio.fail_after(PATIENCE):
            seen.append(asyncio.current_task())
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())
        return "done"

    async def main() -> str:
        own = asyncio.current_task()
        task = start(call)
        assert len(seen) == 1
        assert asyncio.current_task() is own
        await task.future.wait()
        assert seen[0] is seen[1] is not own
        return task.future.result()

    assert run_asyncio(main) == "done"


@pytest.mark.parametrize("waits", [0, 1, 3])
def test_a_deadline_holds_from_the_first_step_on(run: Run, waits: int) -> None:
    """A cancel scope entered in the first step ends the task in time, and no other."""

    async def call() -> str:
        with anyio.move_on_after(0.02):
            for _ in range(waits):
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(PATIENCE)
        await anyio.lowlevel.checkpoint()
        return "in time"

    async def main() -> str:
        task = start(call)
        await task.future.wait(PATIENCE)
        return task.future.result()

    assert run(main) == "in time"


@pytest.mark.parametrize("turns", range(3))
def test_a_task_can_be_cancelled_at_every_point(run: Run, turns: int) -> None:
    """Its clean-up runs, and its waiters are woken."""
    ended: list[str] = []

    async def call() -> None:
        try:
            await anyio.sleep(PATIENCE)
        finally:
            ended.append("cleaned up")

    async def main() -> BackgroundTask[None]:
        task = start(call)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        task.cancel()
        assert await task.future.wait(PATIENCE)
        return task

    task = run(main)
    assert isinstance(task.future.exception(), concurrent.futures.CancelledError)
    assert not task.is_alive()
    task.cancel()
    assert ended in (["cleaned up"], [])


@pytest.mark.parametrize("turns", range(3))
def test_what_the_coroutine_raises_reaches_the_future(run: Run, turns: int) -> None:
    """An error of the first step, and of a later one."""

    async def call() -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        raise LookupError("its own")

    async def main() -> BaseException | None:
        task = start(call)
        await task.future.wait(PATIENCE)
        return task.future.exception()

    assert isinstance(run(main), LookupError)


def test_a_task_outlives_the_caller_who_started_it(run: Run) -> None:
    """The caller's cancellation does not affect it."""
    go_on, begun = OneShotEvent(), OneShotEvent()
    tasks: list[BackgroundTask[bool]] = []

    async def call() -> bool:
        begun.set()
        return await go_on.wait(PATIENCE)

    async def starter() -> None:
        tasks.append(start(call))
        await anyio.sleep(PATIENCE)

    async def main() -> bool:
        async with anyio.create_task_group() as group:
            group.start_soon(starter)
            await begun.wait(PATIENCE)
            group.cancel_scope.cancel()
        assert tasks[0].is_here()
        assert tasks[0].is_alive()
        go_on.set()
        await tasks[0].future.wait(PATIENCE)
        return tasks[0].future.result()

    assert run(main)


def test_a_task_in_a_stopped_loop_is_not_alive() -> None:
    """Waiters elsewhere can detect that it makes no progress."""
    loop = Loop()

    async def begin() -> BackgroundTask[None]:
        return start(lambda: asyncio.sleep(PATIENCE))

    async def look() -> bool:
        return task.is_here()

    task: BackgroundTask[None] = loop.call(begin)
    assert task.is_alive()
    assert not run_asyncio(look)
    assert not trio.run(look)
    loop.stop()
    assert not task.is_alive()
    loop.close()
    assert not task.is_alive()
    task.cancel()


# Shared futures


def test_no_waiter_cancels_what_others_wait_for(run: Run) -> None:
    """A cancelled waiter does not affect the future."""
    future: SharedFuture[str] = SharedFuture()

    async def main() -> None:
        assert not await future.wait(0.001)
        with anyio.move_on_after(0.001):
            await future.wait()
        assert not future.cancel()
        assert not future.done()

    run(main)
    assert not future.wait_sync(0)
    future.set_result("here")
    assert run(lambda: future.wait(0))
    assert future.wait_sync(0)


def test_each_loop_is_woken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand tasks of a loop cause one wake-up."""
    future: SharedFuture[None] = SharedFuture()
    woken: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def count(*args: Any) -> object:
            woken.append(args)
            return wake(*args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        waiting = [asyncio.create_task(future.wait()) for _ in range(1000)]
        await asyncio.sleep(0)
        future.set_result(None)
        assert all(await asyncio.gather(*waiting))

    run_asyncio(main)
    assert len(woken) == 1
