"""What asyncio, trio and plain threads have in common: a latch, a sleep, a deadline, a job, locks that survive forks.

No protocol, no policy.

httpx runs on both libraries, so seic does. trio is never imported here unless the program itself already runs in it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    import trio

_T = TypeVar("_T")

#: How many tasks that waited go on with one turn of the event loop: each has a request to send, which takes some tenths
#: of a millisecond.
_EACH_TURN = 8


class Heir(Protocol):
    """Something that a forked child has of its parent, without the parent's threads."""

    def after_fork(self) -> None:
        """Begin anew in the child, where the caller is the only thread."""
        ...


# Locks first: what else begins anew uses them.
_locks: weakref.WeakSet[Heir] = weakref.WeakSet()
_heirs: weakref.WeakSet[Heir] = weakref.WeakSet()


def survive_fork(heir: Heir) -> None:
    """Have `after_fork` called in a forked child, for as long as the heir lives."""
    _heirs.add(heir)


def _after_fork() -> None:
    # Anew: a thread that was in the middle of a walk over them stayed in the parent.
    global _locks, _heirs
    _locks, _heirs = weakref.WeakSet(list(_locks)), weakref.WeakSet(list(_heirs))
    for heir in [*_locks, *_heirs]:
        heir.after_fork()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A lock that is free in a forked child, whoever of the parent held it.

    It is reentrant, for the garbage collector and signals may run a finalizer of a user's that comes back here.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Be free: the thread that held it does not exist here."""
        self._lock = threading.RLock()


def current_trio() -> Any | None:
    """Return the trio module if the caller runs in a trio task, else None (asyncio)."""
    module = sys.modules.get("trio")
    # Another thread may be importing it: then it has no parts yet, and nobody runs in it.
    lowlevel = getattr(module, "lowlevel", None)
    return module if lowlevel is not None and lowlevel.in_trio_task() else None


def is_in_event_loop() -> bool:
    """Tell whether the caller runs in an event loop of either library."""
    if current_trio() is not None:
        return True
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def was_cancelled(error: BaseException) -> bool:
    """Tell whether an exception that left a call means that somebody cancelled the task, or that its loop is gone.

    A library may let a cancellation of its own slip out, and a user's code may raise anything: neither is one.
    """
    if isinstance(error, GeneratorExit):
        return True
    if (library := current_trio()) is not None:
        return isinstance(error, library.Cancelled)
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def sleep(seconds: float) -> None:
    """Sleep in whichever library runs."""
    library = current_trio() or asyncio
    await library.sleep(seconds)


async def in_thread(call: Callable[..., _T], *args: Any) -> _T:
    """Run a blocking call off the event loop; a cancelled caller leaves it to end by itself.

    It has a daemon thread of its own: the libraries' pools are small and serve name look-ups too, and asyncio's holds
    the loop's end up, so that a call that hangs would be everybody's.
    """
    outcome: concurrent.futures.Future[_T] = concurrent.futures.Future()
    done = Latch()

    def run() -> None:
        try:
            outcome.set_result(call(*args))
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            outcome.set_exception(error)

    start_thread(run, ended=done.set)
    await done.wait_async(None)
    return outcome.result()


async def within(seconds: float, call: Callable[[], Awaitable[_T]]) -> _T:
    """Await `call()` for at most `seconds`, then cancel it.

    Raises:
        TimeoutError: The time ran out.
    """
    if (library := current_trio()) is not None:
        with library.move_on_after(seconds):
            return await call()
        raise TimeoutError
    async with asyncio.timeout(seconds):
        return await call()


class Job(Protocol):
    """Something that runs beside its starter, and outlives the starter's cancellation."""

    def is_stranded(self) -> bool:
        """Whether it can no longer make progress: its loop is closed or stands still, its thread is gone."""
        ...

    def is_here(self) -> bool:
        """Whether it runs in the caller's own event loop, so that it moves whenever the caller does."""
        ...

    def cancel(self) -> None:
        """Have it ended; safe from any thread, and more than once is the same as once."""
        ...


class _AsyncioJob:
    #: An event loop holds its tasks by weak references only.
    _running: ClassVar[set[asyncio.Task[None]]] = set()

    def __init__(self, call: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] = self._loop.create_task(_as_coroutine(call))
        self._running.add(self._task)
        self._task.add_done_callback(self._running.discard)
        # Not a `finally`: a task that is cancelled before its first step never gets to one.
        self._task.add_done_callback(lambda _task: ended())

    def is_stranded(self) -> bool:
        return self._task.done() or self._loop.is_closed() or not self._loop.is_running()

    def is_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def cancel(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._task.cancel)
        except RuntimeError:  # the loop is closed: the task can never end, and is let go
            self._running.discard(self._task)


class _TrioJob:
    def __init__(self, library: Any, call: Callable[[], Awaitable[None]], ended: Callable[[], None]) -> None:
        self._library = library
        self._token: trio.lowlevel.TrioToken = library.lowlevel.current_trio_token()
        self._scope = library.CancelScope()
        self._ended = ended
        self._running = True
        # Not a child of the caller's nursery: whoever starts a job may be cancelled.
        library.lowlevel.spawn_system_task(self._run, call)

    async def _run(self, call: Callable[[], Awaitable[None]]) -> None:
        # A system task that raises takes the whole trio run down, so the call must settle its own failures.
        try:
            with self._scope:
                await call()
        finally:
            self._running = False
            self._ended()

    def is_stranded(self) -> bool:
        return not self._running

    def is_here(self) -> bool:
        return current_trio() is not None and self._library.lowlevel.current_trio_token() is self._token

    def cancel(self) -> None:
        with contextlib.suppress(self._library.RunFinishedError):
            self._token.run_sync_soon(self._scope.cancel)


class _ThreadJob:
    def __init__(self, call: Callable[[], None], ended: Callable[[], None], cancel: Callable[[], None]) -> None:
        self._call = call
        self._ended = ended
        self._cancel = cancel
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name="seic", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # no new threads while the interpreter shuts down: then the starter does the work itself
            self._run()

    def _run(self) -> None:
        try:
            self._call()
        finally:
            self._ended()

    def is_stranded(self) -> bool:
        return not self._thread.is_alive()

    def is_here(self) -> bool:
        return False

    def cancel(self) -> None:
        self._cancel()


async def _as_coroutine(call: Callable[[], Awaitable[None]]) -> None:
    await call()


def _nothing() -> None:
    pass


def start_async(call: Callable[[], Awaitable[None]], *, ended: Callable[[], None] = _nothing) -> Job:
    """Start an async call beside the caller, in the caller's event loop.

    Args:
        call: What to await; it settles its own failures.
        ended: Called when it is over, in whichever way.
    """
    library = current_trio()
    return _AsyncioJob(call, ended) if library is None else _TrioJob(library, call, ended)


def start_thread(
    call: Callable[[], None], *, ended: Callable[[], None] = _nothing, cancel: Callable[[], None] = _nothing
) -> Job:
    """Start a blocking call in a daemon thread, with the caller's context variables.

    Args:
        call: What blocks; it settles its own failures.
        ended: Called when it is over, in whichever way.
        cancel: What gets the thread out of the call.
    """
    return _ThreadJob(call, ended, cancel)


class Latch:
    """A flag that is set once and wakes everyone who waits for it: threads, asyncio tasks of any loop, trio tasks."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._set = False
        self._thread_event: threading.Event | None = None
        # One event or gate a loop, however many tasks wait there: setting wakes each loop once.
        self._loops: dict[Any, tuple[Any, Callable[[], object]]] = {}
        _locks.add(self)

    def after_fork(self) -> None:
        """Be free: the threads that waited do not exist here, nor the one that held the lock."""
        self._lock = threading.RLock()
        self._thread_event = None

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._set

    def set(self) -> None:
        """Set it and wake all who wait; more than once is the same as once."""
        with self._lock:
            self._set = True
            wakers = [wake for _, wake in self._loops.values()]
            self._loops.clear()
            if self._thread_event is not None:
                self._thread_event.set()
        for wake in wakers:
            wake()

    def wait(self, seconds: float | None) -> bool:
        """Block the thread until it is set, for at most `seconds`; return whether it is."""
        with self._lock:
            if self._set:
                return True
            if self._thread_event is None:
                self._thread_event = threading.Event()
            event = self._thread_event
        return event.wait(seconds)

    async def wait_async(self, seconds: float | None) -> bool:
        """Wait until it is set, for at most `seconds`; return whether it is."""
        with self._lock:
            if self._set:
                return True
            event = self._event_here()
        if seconds is None:
            await event.wait()
        else:
            with contextlib.suppress(TimeoutError):
                await within(seconds, event.wait)
        return self._set

    def _event_here(self) -> Any:
        library = current_trio()
        if library is not None:
            token = library.lowlevel.current_trio_token()
            if token not in self._loops:
                trio_event = library.Event()

                def wake_trio() -> None:
                    with contextlib.suppress(library.RunFinishedError):
                        token.run_sync_soon(trio_event.set)

                self._loops[token] = (trio_event, wake_trio)
            return self._loops[token][0]
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            gate = _Gate(loop)

            def wake() -> None:
                with contextlib.suppress(RuntimeError):  # a closed loop has nobody left to wake
                    loop.call_soon_threadsafe(gate.open)

            self._loops[loop] = (gate, wake)
        return self._loops[loop][0]


class _Gate:
    """Lets the tasks of one asyncio loop through, a few with each turn of it.

    A thousand that go on at once would hold everything else in the loop up, for as long as all their work takes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        # A dict, for its order and for leaving out of turn.
        self._waiting: dict[asyncio.Future[None], None] = {}

    async def wait(self) -> None:
        turn = self._loop.create_future()
        self._waiting[turn] = None
        try:
            await turn
        finally:
            self._waiting.pop(turn, None)

    def open(self) -> None:
        for turn in list(itertools.islice(self._waiting, _EACH_TURN)):
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)
        if self._waiting:
            self._loop.call_soon(self.open)
