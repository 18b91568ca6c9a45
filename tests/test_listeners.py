from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable

import pytest
import trio
import trio.testing

from seic._listeners import Listeners
from seic.events import Event, TokenEndpointRecovered

EVENT = TokenEndpointRecovered(host="api.example.com", failures=1)
OTHER = TokenEndpointRecovered(host="api.example.com", failures=2)


def failures_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the log lines about failed listeners."""
    return [record for record in caplog.records if record.name == "seic.events"]


def test_every_listener_hears_every_event_in_order() -> None:
    """The first listener and the added ones get all events."""
    first: list[Event] = []
    second: list[Event] = []
    listeners = Listeners(first.append)
    listeners.add(second.append)

    listeners.emit(EVENT)
    listeners.emit(OTHER)

    assert first == second == [EVENT, OTHER]


def test_a_removed_listener_hears_no_more_and_others_go_on() -> None:
    """Removing it twice has no further effect, and removes no other subscription of the same function."""
    heard: list[Event] = []
    listeners = Listeners(heard.append)
    remove = listeners.add(heard.append)

    remove()
    remove()
    listeners.emit(EVENT)

    assert heard == [EVENT]


async def test_a_coroutine_function_runs_as_a_task_of_the_running_loop() -> None:
    """Emitting returns at once; the listener runs later as a task, which is kept alive until it ends."""
    heard: list[tuple[Event, object]] = []
    done, go_on = asyncio.Event(), asyncio.Event()

    async def listener(event: Event) -> None:
        await go_on.wait()
        heard.append((event, asyncio.get_running_loop()))
        done.set()

    Listeners(listener).emit(EVENT)
    assert heard == []

    go_on.set()
    await done.wait()

    assert heard == [(EVENT, asyncio.get_running_loop())]


def test_a_coroutine_function_runs_to_its_end_where_there_is_no_loop() -> None:
    """In a plain thread, as of a blocking client, the event is not lost."""
    heard: list[Event] = []

    async def listener(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(event)

    thread = threading.Thread(target=Listeners(listener).emit, args=(EVENT,))
    thread.start()
    thread.join()

    assert heard == [EVENT]


def test_a_coroutine_function_runs_in_trio() -> None:
    """It runs as a task of trio, and can use trio."""
    heard: list[Event] = []

    async def main() -> None:
        done = trio.Event()

        async def listener(event: Event) -> None:
            await trio.lowlevel.checkpoint()
            heard.append(event)
            done.set()

        Listeners(listener).emit(EVENT)
        await done.wait()

    trio.run(main)

    assert heard == [EVENT]


def broken(event: Event) -> None:
    """Raise on each event."""
    raise LookupError(f"not ready for {event.name}")


def test_a_raising_function_is_logged_once_and_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    """The error reaches neither the emitter nor other listeners."""
    heard: list[Event] = []
    listeners = Listeners(broken)
    listeners.add(heard.append)

    listeners.emit(EVENT)
    listeners.emit(OTHER)

    assert heard == [EVENT, OTHER]
    (record,) = failures_in(caplog)
    assert record.levelno == logging.ERROR
    assert "broken" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is LookupError


def cancelled(event: Event) -> None:
    """Raise CancelledError, as the result of a task in a closed loop does."""
    raise asyncio.CancelledError(event.name)


async def cancelled_beside(event: Event) -> None:
    """Do the same as a coroutine function."""
    raise asyncio.CancelledError(event.name)


@pytest.mark.parametrize("listener", [cancelled, cancelled_beside], ids=["function", "coroutine function"])
def test_a_listener_cancels_no_call(listener: Callable[[Event], object], caplog: pytest.LogCaptureFixture) -> None:
    """CancelledError is a BaseException, but is treated as an error of the listener."""
    heard: list[Event] = []
    listeners = Listeners(listener)
    listeners.add(heard.append)

    listeners.emit(EVENT)

    assert heard == [EVENT]
    assert len(failures_in(caplog)) == 1


def test_each_raising_listener_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Once per listener, so that each failing one is logged."""
    listeners = Listeners(broken)
    listeners.add(broken)

    listeners.emit(EVENT)

    assert len(failures_in(caplog)) == 2


async def test_a_raising_coroutine_function_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Its task leaves no unretrieved exception."""
    runs = 0

    async def listener(event: Event) -> None:
        nonlocal runs
        runs += 1
        raise LookupError(event.name)

    listeners = Listeners(listener)
    listeners.emit(EVENT)
    listeners.emit(OTHER)
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    assert runs == 2
    assert len(failures_in(caplog)) == 1


def test_a_raising_coroutine_function_does_not_take_trio_down(caplog: pytest.LogCaptureFixture) -> None:
    """A system task that raises ends the trio run, so it must not raise."""

    async def listener(event: Event) -> None:
        raise LookupError(event.name)

    async def main() -> None:
        Listeners(listener).emit(EVENT)
        await trio.testing.wait_all_tasks_blocked()

    trio.run(main)

    assert len(failures_in(caplog)) == 1


async def test_a_cancelled_listener_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A loop that ends cancels its tasks; this is not an error of the listener."""
    never = asyncio.Event()

    async def listener(event: Event) -> None:
        await never.wait()

    Listeners(listener).emit(EVENT)
    await asyncio.sleep(0)
    (task,) = asyncio.all_tasks() - {asyncio.current_task()}
    task.cancel()
    await asyncio.wait([task])

    assert task.cancelled()
    assert failures_in(caplog) == []


def test_the_log_hears_without_listeners(caplog: pytest.LogCaptureFixture) -> None:
    """Logging needs no listener."""
    with caplog.at_level(logging.INFO, logger="seic"):
        Listeners().emit(EVENT)

    assert caplog.messages == ["token endpoint recovered: host=api.example.com failures=1 tracking_id=None"]


@pytest.mark.parametrize("kind", [list, tuple], ids=["list", "tuple"])
def test_what_a_function_returns_is_ignored(kind: Callable[[], object]) -> None:
    """Only an awaitable has a meaning."""
    Listeners(lambda event: kind()).emit(EVENT)


# The end


class Slow:
    """A coroutine function that ends when it is told to."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.heard: list[Event] = []

    async def __call__(self, event: Event) -> None:
        """Wait."""
        await self.go_on.wait()
        self.heard.append(event)


async def turns(count: int = 5) -> None:
    """Let the loop run some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_was_begun_is_waited_for() -> None:
    """`drain` returns after all listeners have ended, not before."""
    slow = Slow()
    listeners = Listeners(slow)
    listeners.emit(EVENT)
    listeners.emit(OTHER)

    draining = asyncio.create_task(listeners.drain())
    await turns()
    assert not draining.done()
    slow.go_on.set()
    await draining

    assert slow.heard == [EVENT, OTHER]


async def test_a_listener_that_never_ends_is_waited_for_no_longer_than_agreed() -> None:
    """Closing ends after its timeout; the listener keeps running in its loop."""
    slow = Slow()
    listeners = Listeners(slow)
    listeners.emit(EVENT)

    await listeners.drain(0)

    assert slow.heard == []
    slow.go_on.set()
    await listeners.drain()
    assert slow.heard == [EVENT]


async def test_a_listener_that_closes_does_not_wait_for_itself() -> None:
    """A listener can close the client without a deadlock."""
    done = asyncio.Event()

    async def listener(event: Event) -> None:
        await listeners.drain(math.inf)
        done.set()

    listeners = Listeners(listener)
    listeners.emit(EVENT)
    await done.wait()


async def test_a_listener_of_a_loop_that_is_gone_is_not_waited_for() -> None:
    """It can never end."""
    slow = Slow()
    listeners = Listeners(slow)

    async def begin() -> None:
        listeners.emit(EVENT)
        await turns()

    await asyncio.to_thread(asyncio.run, begin())
    await listeners.drain(math.inf)

    assert slow.heard == []


def test_what_was_begun_is_waited_for_in_trio() -> None:
    """The same with tasks of trio."""
    heard: list[Event] = []

    async def listener(event: Event) -> None:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        heard.append(event)

    async def main() -> None:
        listeners = Listeners(listener)
        listeners.emit(EVENT)
        await listeners.drain()
        assert heard == [EVENT]

    trio.run(main)


async def test_a_thread_waits_for_what_runs_in_a_loop_elsewhere() -> None:
    """As for a blocking client that was used in a loop and is closed outside of it."""
    slow = Slow()
    listeners = Listeners(slow)
    listeners.emit(EVENT)

    draining = asyncio.create_task(asyncio.to_thread(listeners.drain_sync))
    await turns()
    slow.go_on.set()
    await draining

    assert slow.heard == [EVENT]


async def test_a_blocking_end_does_not_wait_for_its_own_loop() -> None:
    """This would block the listener itself."""
    slow = Slow()
    listeners = Listeners(slow)
    listeners.emit(EVENT)

    listeners.drain_sync(math.inf)

    assert slow.heard == []
    slow.go_on.set()
    await listeners.drain()
