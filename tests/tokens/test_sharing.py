"""One source for tasks, threads, event loops and processes: nobody cancels, doubles or wedges what others wait for."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import trio

from seic import AuthorizationCode, TokenEndpointUnavailable, TokenError
from seic._events import Event, TokenWaitBegun
from seic._runtime import Latch
from seic._tokens.source import TokenSource
from tests._support.clocks import FakeClock
from tests._support.fake_provider import FakeProvider, Hands
from tests._support.token_desk import PATIENCE, TokenDesk, landed, name


class Loop:
    """An event loop in a thread of its own, that can be stopped where it stands."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Run a coroutine there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

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


def in_threads(*calls: Callable[[], Any]) -> list[Future[Any]]:
    """Start each call in a thread of its own."""
    pool = ThreadPoolExecutor(len(calls))
    futures = [pool.submit(call) for call in calls]
    pool.shutdown(wait=False)
    return futures


def names_of(futures: list[Future[Any]]) -> set[str]:
    """Return the tokens that came out."""
    return {name(future.result(PATIENCE)) for future in futures}


# Threads and loops


def test_ten_threads_make_one_request(desk: TokenDesk) -> None:
    """Blocking callers share as tasks do."""
    source = desk.source()
    desk.hold()
    futures = in_threads(*[source.obtain_sync] * 10)
    assert desk.arrived.wait(PATIENCE)
    desk.release()
    assert names_of(futures) == {"token-1"}
    assert desk.calls == 1


@pytest.mark.parametrize("leader", ["asyncio", "trio", "thread"])
def test_every_kind_of_caller_shares_the_fetch_of_every_other(desk: TokenDesk, leader: str) -> None:
    """Ten threads with a loop each, trio beside asyncio, blocking callers beside both: one request."""
    source = desk.source()
    kinds: dict[str, Callable[[], Any]] = {
        "asyncio": lambda: asyncio.run(source.obtain()),
        "trio": lambda: trio.run(source.obtain),
        "thread": source.obtain_sync,
    }
    desk.hold()
    futures = in_threads(kinds[leader])
    assert desk.arrived.wait(PATIENCE)
    flight = source.state.flight
    assert flight is not None
    futures += in_threads(*[kinds["asyncio"]] * 10, *[kinds["trio"]] * 3, *[kinds["thread"]] * 3)
    desk.release()

    assert names_of(futures) == {"token-1"}
    assert desk.calls == 1


def test_two_runs_in_a_row_share_a_token(desk: TokenDesk) -> None:
    """Nothing of the source belongs to the first loop."""
    source = desk.source()
    assert name(asyncio.run(source.obtain())) == "token-1"
    assert name(asyncio.run(source.obtain())) == "token-1"
    assert name(trio.run(source.obtain)) == "token-1"
    assert desk.calls == 1


async def test_a_blocking_call_inside_the_loop_that_fetches_does_not_wait_for_itself(desk: TokenDesk) -> None:
    """The task that fetches cannot go on while its own loop is blocked, so the caller fetches by itself."""
    source = desk.source()
    desk.hold()
    first = asyncio.create_task(source.obtain())
    assert await desk.arrived.wait_async(PATIENCE)
    desk.release()
    held = source.obtain_sync()

    assert name(held) == "token-1"
    assert await first is held
    assert desk.calls == 2


async def test_a_blocking_call_inside_the_loop_that_fetches_goes_on_with_a_living_token(
    desk: TokenDesk, clock: FakeClock
) -> None:
    """It cannot wait, and need not: the fetch of the others runs on, and is not doubled."""
    source = desk.source(clock)
    await source.obtain()
    clock.advance(3550)
    desk.hold()
    first = asyncio.create_task(source.obtain())
    assert await desk.arrived.wait_async(PATIENCE)

    assert name(source.obtain_sync()) == "token-1"
    desk.release()
    assert name(await first) == "token-2"
    assert desk.calls == 2


@pytest.mark.parametrize("ask", [TokenSource.obtain_sync, TokenSource.revoke_sync], ids=["a token", "a revocation"])
async def test_a_blocking_call_inside_the_loop_that_spends_a_refresh_token_is_an_error(
    ask: Callable[[TokenSource], Any],
) -> None:
    """A second request would send what is good for one, and end the login; the first goes on."""
    provider, hands = FakeProvider(), Hands()
    source = provider.source(AuthorizationCode(code="code-1"), hands)
    await source.token()
    hands.now += 3601
    provider.gate = asyncio.Event()
    provider.arrived.clear()
    first = asyncio.create_task(source.token())
    await provider.arrived.wait()

    with pytest.raises(TokenError, match="cannot wait"):
        ask(source)
    provider.gate.set()
    assert (await first).access_token == "a2"
    assert provider.asked == ["authorization_code", "r1"]


# Cancellation


async def test_a_cancelled_leader_cancels_nobody(desk: TokenDesk) -> None:
    """Whoever began the fetch does not own it."""
    source = desk.source()
    desk.hold()
    leader = asyncio.create_task(source.obtain())
    assert await desk.arrived.wait_async(PATIENCE)
    waiter = asyncio.create_task(source.obtain())
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    desk.release()

    assert name(await waiter) == "token-1"
    assert desk.calls == 1


async def test_a_cancelled_waiter_cancels_nobody(desk: TokenDesk) -> None:
    """Nor does one of those who only wait, whether by a cancel or by a deadline of its own."""
    source = desk.source()
    desk.hold()
    leader = asyncio.create_task(source.obtain())
    assert await desk.arrived.wait_async(PATIENCE)
    waiter = asyncio.create_task(source.obtain())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.obtain(), 0.001)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    desk.release()

    assert name(await leader) == "token-1"
    assert desk.calls == 1


async def test_a_fetch_that_all_have_left_still_lands(desk: TokenDesk) -> None:
    """What was asked for is not thrown away: the next caller finds it."""
    source = desk.source()
    desk.hold()
    crowd = [asyncio.create_task(source.obtain()) for _ in range(10)]
    assert await desk.arrived.wait_async(PATIENCE)
    for task in crowd:
        task.cancel()
    await asyncio.wait(crowd)
    desk.release()
    await landed(source)

    assert name(await source.obtain()) == "token-1"
    assert desk.calls == 1


async def _cancel_at_each_step(call: Callable[[], Awaitable[Any]], settle: Callable[[], Awaitable[Any]]) -> int:
    """Cancel the call after one step of the loop, then after two, and so on, until it ends by itself."""
    steps = 0
    while True:
        task = asyncio.ensure_future(call())
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            await task
            return steps
        task.cancel()
        await asyncio.wait([task])
        await settle()
        steps += 1


@pytest.mark.parametrize("begins", [True, False], ids=["the leader", "a waiter"])
async def test_a_caller_may_be_cancelled_at_every_point(desk: TokenDesk, begins: bool) -> None:
    """Wherever that hits it, whoever else waits gets a token, and never more than one request is made for a fetch."""
    sources: list[TokenSource] = []

    async def call() -> None:
        source = desk.source()
        sources.append(source)
        if not begins:
            other.append(asyncio.create_task(source.obtain()))
            await asyncio.sleep(0)
        await source.obtain()

    other: list[asyncio.Task[Any]] = []

    async def settle() -> None:
        if not sources:  # cancelled before its first step
            return
        requests = desk.calls
        source = sources[-1]
        await source.obtain()
        for task in other:
            await task
        assert source.stats.token_requests == 1
        assert desk.calls <= requests + 1

    steps = await _cancel_at_each_step(call, settle)
    assert steps > 3
    assert len(sources) >= steps


def test_a_cancelled_trio_leader_cancels_nobody(desk: TokenDesk) -> None:
    """Nor does the end of its nursery."""
    source = desk.source()
    names: list[str] = []

    async def wait() -> None:
        names.append(name(await source.obtain()))

    async def main() -> None:
        desk.hold()
        async with trio.open_nursery() as outer:
            async with trio.open_nursery() as inner:
                inner.start_soon(source.obtain)
                assert await desk.arrived.wait_async(PATIENCE)
                outer.start_soon(wait)
                await trio.lowlevel.checkpoint()
                inner.cancel_scope.cancel()
            desk.release()

    trio.run(main)
    assert names == ["token-1"]
    assert desk.calls == 1


# Loops that die


def test_a_loop_that_ends_mid_fetch_hands_over(desk: TokenDesk) -> None:
    """asyncio.run cancels what is left; whoever waits elsewhere begins anew."""
    source = desk.source()
    desk.hold()
    begun = Latch()

    async def begin() -> None:
        asyncio.ensure_future(source.obtain())  # noqa: RUF006  # the end of the loop is what it is left to
        assert await desk.arrived.wait_async(PATIENCE)
        begun.set()
        assert await waiting.wait_async(PATIENCE)

    waiting = Latch()
    (dying,) = in_threads(lambda: asyncio.run(begin()))
    assert begun.wait(PATIENCE)
    futures = in_threads(source.obtain_sync, lambda: asyncio.run(source.obtain()), lambda: trio.run(source.obtain))
    desk.hold()
    waiting.set()
    dying.result(PATIENCE)
    assert desk.arrived.wait(PATIENCE)
    desk.release()

    assert len(names_of(futures)) == 1
    assert desk.calls == 2


def test_a_run_that_ends_with_its_call_leaves_no_storm_behind(desk: TokenDesk, clock: FakeClock) -> None:
    """The renewal that it cut off is not begun anew by the next call at once, which would cut it off as well."""
    source = desk.source(clock)
    source.obtain_sync()
    clock.advance(3000)
    desk.hold()

    async def call(*, begins: bool) -> None:
        await source.obtain()
        assert (source.state.flight is not None) is begins
        assert await desk.arrived.wait_async(PATIENCE)

    asyncio.run(call(begins=True))
    for _ in range(10):
        asyncio.run(call(begins=False))
    assert desk.calls == 2

    clock.advance(1)
    desk.arrived = Latch()
    asyncio.run(call(begins=True))


def test_a_trio_run_that_ends_mid_fetch_hands_over(desk: TokenDesk) -> None:
    """A system task ends with the run that it belongs to."""
    source = desk.source()
    desk.hold()

    async def begin() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.obtain)
            assert await desk.arrived.wait_async(PATIENCE)
            nursery.cancel_scope.cancel()

    trio.run(begin)
    desk.release()
    assert name(source.obtain_sync()) == "token-1"
    assert desk.calls == 2


@pytest.mark.parametrize("waiter", ["thread", "asyncio", "trio"])
def test_whoever_waits_already_takes_over_from_a_loop_that_stands_still(desk: TokenDesk, waiter: str) -> None:
    """Nobody tells them: they look by themselves."""
    waiting = Latch()

    def emit(event: Event) -> None:
        if isinstance(event, TokenWaitBegun) and threading.current_thread() is not loop.thread:
            waiting.set()

    source = desk.source(emit=emit)
    desk.hold()
    loop = Loop()
    loop.start(source.obtain())
    assert desk.arrived.wait(PATIENCE)
    kinds: dict[str, Callable[[], Any]] = {
        "asyncio": lambda: asyncio.run(source.obtain()),
        "trio": lambda: trio.run(source.obtain),
        "thread": source.obtain_sync,
    }
    (future,) = in_threads(kinds[waiter])
    assert waiting.wait(PATIENCE)
    loop.stop()
    desk.release()

    assert name(future.result(PATIENCE)) == "token-1"
    loop.close()
    assert desk.calls == 2


def test_a_loop_that_stands_still_hands_over(desk: TokenDesk) -> None:
    """It may go on some day; then it finds that its fetch was given up, and what it brings is not taken."""
    source = desk.source()
    desk.hold()
    loop = Loop()
    first = loop.start(source.obtain())
    assert desk.arrived.wait(PATIENCE)
    loop.stop()
    desk.release()
    second = source.obtain_sync()
    assert name(second) == "token-1"

    loop.go_on()
    assert first.result(PATIENCE) is second
    assert source.obtain_sync() is second
    loop.close()
    assert desk.calls == 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_without_a_word_hands_over(desk: TokenDesk, caplog: pytest.LogCaptureFixture) -> None:
    """Its task can never end; that is its owner's mistake, and nobody else's trouble."""
    source = desk.source()
    desk.hold()
    loop = Loop()
    first = loop.start(source.obtain())
    assert desk.arrived.wait(PATIENCE)
    loop.stop()
    loop.loop.close()
    desk.release()
    assert name(source.obtain_sync()) == "token-1"
    assert name(asyncio.run(source.obtain())) == "token-1"
    assert not first.done()
    assert desk.calls == 2
    # Python complains of the pending tasks when it finds them: here, rather than in another test.
    del first, loop
    gc.collect()


async def test_a_fetch_whose_runner_is_stuck_is_given_up(desk: TokenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that blocks its event loop holds nobody in another loop for longer than a fetch may take."""
    monkeypatch.setattr("seic._tokens.source._GRACE", 0.0)
    monkeypatch.setattr("seic._tokens.source.PATIENCE", 0.0)
    source = desk.source(timeout=0.01)
    stuck, free = Latch(), Latch()

    async def begin() -> None:
        task = asyncio.ensure_future(source.obtain())
        assert await desk.arrived.wait_async(PATIENCE)
        stuck.set()
        free.wait(PATIENCE)  # blocks the loop
        task.cancel()

    desk.hold()
    (blocked,) = in_threads(lambda: asyncio.run(begin()))
    assert await stuck.wait_async(PATIENCE)
    with pytest.raises(TokenEndpointUnavailable, match="no answer within"):
        await source.obtain()
    desk.release()
    free.set()
    await asyncio.wrap_future(blocked)


# Processes


def _in_child(call: Callable[[], bytes]) -> bytes:
    """Fork, run the call in the child, and return what it said; it has a while for that."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, call())
        finally:
            os._exit(0)
    os.close(write)
    try:
        ready, _, _ = select.select([read], [], [], PATIENCE)
        return os.read(read, 1000) if ready else b"it hangs"
    finally:
        os.close(read)
        if not ready:
            os.kill(child, 9)
        os.waitpid(child, 0)


# Python 3.12 warns of threads at a fork: they are what is tested here.
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
class TestFork:
    """A child of os.fork has the parent's memory and none of its threads."""

    def test_the_child_uses_the_parents_token(self, desk: TokenDesk) -> None:
        """A token in hand needs no fetch."""
        source = desk.source()
        source.token_sync()
        assert _in_child(lambda: name(source.obtain_sync()).encode()) == b"token-1"

    def test_the_child_does_not_share_a_flight(self, desk: TokenDesk) -> None:
        """The thread that fetches stayed in the parent: the child begins a fetch of its own, and so does no harm."""
        source = desk.source()
        desk.hold()
        (waiter,) = in_threads(source.obtain_sync)
        assert desk.arrived.wait(PATIENCE)

        def call() -> bytes:
            desk._lock = threading.Lock()
            desk._gate = None
            desk.plan.append(httpx.Response(200, json={"access_token": "childs-own"}))
            return name(source.obtain_sync()).encode()

        assert _in_child(call) == b"childs-own"
        desk.release()
        assert name(waiter.result(PATIENCE)) == "token-1"

    def test_a_lock_that_another_thread_held_does_not_hold_the_child(self, desk: TokenDesk) -> None:
        """That thread will never let go of it in the child."""
        source = desk.source()
        locked, unlock = Latch(), Latch()

        def keep_the_lock() -> None:
            with source.state._lock:
                locked.set()
                unlock.wait(PATIENCE)

        (holder,) = in_threads(keep_the_lock)
        assert locked.wait(PATIENCE)
        assert _in_child(lambda: name(source.obtain_sync()).encode()) == b"token-1"
        unlock.set()
        holder.result(PATIENCE)

    def test_the_child_can_run_an_event_loop_of_its_own(self, desk: TokenDesk, clock: FakeClock) -> None:
        """Nothing of the parent's loop is asked."""
        source = desk.source(clock)
        asyncio.run(source.token())
        clock.advance(3600)
        assert _in_child(lambda: name(asyncio.run(source.obtain())).encode()) == b"token-2"
