"""Futures, locks and threads that work in asyncio, in trio and in plain threads.

Threads and tasks of any loop can wait for a `SharedFuture`, and no waiter can cancel it. Blocking calls and user code
run in daemon threads (`run_in_thread`). A `ForkSafeLock` is free in a forked child: state of a process is keyed by its
id, because some servers (uWSGI) fork without Python's fork hooks.

trio is imported only if the program itself runs in it. Use `anyio` for sleeps and deadlines, and `_portal` for tasks.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import contextvars
import itertools
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

_T = TypeVar("_T")

#: In a thread that `start_thread` started: the event loop of the caller, as `current_loop` gives it; None without one.
calling_loop: contextvars.ContextVar[Any] = contextvars.ContextVar("seic_calling_loop", default=None)

#: The number of waiting tasks that continue with each turn of the event loop: each has a request to send, which takes
#: some tenths of a millisecond.
_EACH_TURN = 8


def current_trio() -> Any | None:
    """Return the trio module if the caller runs in a trio task, else None (asyncio)."""
    module = sys.modules.get("trio")
    # Another thread may be importing it: then it has no parts yet, and nobody runs in it.
    lowlevel = getattr(module, "lowlevel", None)
    return module if lowlevel is not None and lowlevel.in_trio_task() else None


def was_cancelled(error: BaseException) -> bool:
    """Tell whether an exception that left a call means that the task was cancelled, or that its loop is gone.

    A library may let a cancellation of its own slip out, and a user's code may raise anything: neither is one.
    """
    import asyncio

    if isinstance(error, GeneratorExit):
        return True
    if (library := current_trio()) is not None:
        # A nursery raises several as a group.
        rest = error.split(library.Cancelled)[1] if isinstance(error, BaseExceptionGroup) else error
        return rest is None or isinstance(rest, library.Cancelled)
    if not isinstance(error, asyncio.CancelledError):
        return False
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def is_own_failure(error: BaseException) -> bool:
    """Tell whether what a user's plain function raised is a failure of that function, and no interruption from outside.

    Signals interrupt the main thread only: in others, SystemExit and KeyboardInterrupt come from the function.
    """
    import asyncio

    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return threading.get_ident() != threading.main_thread().ident
    return isinstance(error, (Exception, GeneratorExit, asyncio.CancelledError))


def current_loop() -> Any:
    """Return the running event loop of asyncio, or the token of trio's run, as a key; None outside of both."""
    if (library := current_trio()) is not None:
        return library.lowlevel.current_trio_token()
    # Not imported here, since each request of an async client asks: without the module no loop runs.
    if (asyncio := sys.modules.get("asyncio")) is None:
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, even if another thread of the parent held it.

    It is reentrant because the garbage collector and signals may run a finalizer that comes back here.
    """

    def __init__(self) -> None:
        #: The lock of each process, by its id; made by C code in one step, so that two first users agree.
        self.of_process: defaultdict[int, threading.RLock] = defaultdict(threading.RLock)

    def __enter__(self) -> None:
        self.of_process[os.getpid()].acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.of_process[os.getpid()].release()


class SharedFuture(concurrent.futures.Future[_T]):
    """A future that threads, asyncio tasks of any loop and trio tasks wait for; no waiter can cancel it.

    Threads use `result(seconds)` or `wait_sync`. Each event loop is woken once, however many of its tasks wait; then
    eight of them continue with each turn of the loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._gates: dict[Any, Any] = {}
        self._pid = os.getpid()

    def is_alive(self) -> bool:
        """Whether it can still be done: it is not, and this is the process that created it."""
        return not self.done() and self._pid == os.getpid()

    def cancel(self) -> bool:
        """Return False: it belongs to all who wait."""
        return False

    def done(self) -> bool:
        """Whether it is done; without the lock of the base class, since thousands of waiters ask."""
        return self._state == concurrent.futures._base.FINISHED  # noqa: SLF001

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is done, for at most `seconds`; return whether it is."""
        if not self.done():
            gate = self._gate_here()
            if seconds is None:
                await gate.wait()
            else:
                import anyio

                with anyio.move_on_after(seconds):
                    await gate.wait()
        return self.done()

    def wait_sync(self, seconds: float | None = None) -> bool:
        """Block the thread until it is done, for at most `seconds`; return whether it is."""
        with contextlib.suppress(TimeoutError):
            self.exception(seconds)
        return self.done()

    def _gate_here(self) -> Any:
        library = current_trio()
        here = current_loop()
        gate: Any = self._gates.get(here)
        if gate is None:
            gate = self._gates[here] = _WaiterQueue(here) if library is None else library.Event()

            def wake(_future: object) -> None:
                # A loop that has ended has no waiters left.
                if library is None:
                    with contextlib.suppress(RuntimeError):
                        here.call_soon_threadsafe(gate.open)
                else:
                    with contextlib.suppress(library.RunFinishedError):
                        here.run_sync_soon(gate.set)

            self.add_done_callback(wake)
        return gate


class Run(Protocol):
    """A `SharedFuture` or a `BackgroundTask`, which is alive while it is in progress and can end."""

    def is_alive(self) -> bool: ...


_R = TypeVar("_R", bound=Run)


class SingleFlight(Generic[_R]):
    """At most one run at a time of an operation that several callers need; they share the run in progress."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._run: _R | None = None

    @property
    def pending(self) -> _R | None:
        """The run in progress, or None."""
        run = self._run
        return run if run is not None and run.is_alive() else None

    def join(self, start: Callable[[], _R]) -> _R:
        """Return the run in progress, or start one."""
        with self._lock:
            if (run := self.pending) is None:
                run = self._run = start()
            return run


class OneShotEvent(SharedFuture[None]):
    """A flag that is set once and wakes all who wait for it."""

    def set(self) -> None:
        """Set it; more than once is the same as once."""
        with contextlib.suppress(concurrent.futures.InvalidStateError):
            self.set_result(None)


class _WaiterQueue:
    """Lets the waiting tasks of one asyncio loop continue, a few with each turn of it.

    A thousand at once would hold everything else in the loop up for as long as all their work takes.
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


def start_eagerly(
    coroutine: Coroutine[Any, Any, _T], loop: asyncio.AbstractEventLoop, context: contextvars.Context
) -> asyncio.Task[_T]:
    """Start a coroutine as a task of the running loop, and take its first step before this returns."""
    import asyncio

    if sys.version_info >= (3, 12):
        return asyncio.Task(coroutine, loop=loop, context=context, eager_start=True)
    started = _Started(coroutine)
    task: asyncio.Task[_T] = asyncio.Task(started, loop=loop, context=context)
    # As in "Extending asyncio": cancel scopes must see the task whose step it is.
    current = asyncio.current_task(loop)
    if current is not None:
        asyncio.tasks._leave_task(loop, current)  # noqa: SLF001
    asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
    try:
        context.run(started.step)
    finally:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001
        if current is not None:
            asyncio.tasks._enter_task(loop, current)  # noqa: SLF001
    return task


class _Started(Coroutine[Any, Any, _T]):
    """A coroutine whose first step was taken before its task's: Python 3.11 has no eager tasks."""

    def __init__(self, coroutine: Coroutine[Any, Any, _T]) -> None:
        self._coroutine = coroutine
        self._first: Callable[[], Any] | None = None

    def step(self) -> None:
        """Take the first step, and keep what it yields or raises for the task."""
        import asyncio

        try:
            yielded = self._coroutine.send(None)
        except (KeyboardInterrupt, SystemExit):
            # The starter's to raise; the task ends as if it had been cancelled.
            self._first = _raiser(asyncio.CancelledError())
            raise
        except BaseException as error:  # noqa: BLE001  # the task's, StopIteration included
            self._first = _raiser(error)
        else:
            self._first = lambda: yielded

    def send(self, value: Any) -> Any:
        first, self._first = self._first, None
        return self._coroutine.send(value) if first is None else first()

    def throw(self, *args: Any) -> Any:
        first, self._first = self._first, None
        if first is not None:
            # As a task does it: its future is cancelled first; or the error of the first step is raised.
            waited = first()
            if waited is not None and waited.cancel():
                return waited
        return self._coroutine.throw(*args)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def __getattr__(self, name: str) -> Any:
        # cr_frame and the like, which tell whether it has begun.
        return getattr(self._coroutine, name)


def _raiser(error: BaseException) -> Callable[[], Any]:
    def throw() -> Any:
        raise error

    return throw


def start_thread(call: Callable[..., _T], *args: Any, inherit_context: bool = True) -> SharedFuture[_T]:
    """Run a blocking call in a daemon thread of its own, with the caller's context variables; return its future.

    A thread of its own, because the pools of the event loops are small, and a call that hangs would hold up their end.
    While the interpreter shuts down there are no new threads: then it is run in place.
    """
    future: SharedFuture[_T] = SharedFuture()
    context = contextvars.copy_context() if inherit_context else contextvars.Context()
    context.run(calling_loop.set, current_loop() or calling_loop.get())

    def work() -> None:
        try:
            result = context.run(call, *args)
        except BaseException as error:  # noqa: BLE001  # it is the caller's
            future.set_exception(error)
        else:
            future.set_result(result)

    try:
        threading.Thread(target=work, name="seic-call", daemon=True).start()
    except RuntimeError:
        work()
    return future


class UserCodeExitError(RuntimeError):
    """User code raised SystemExit, KeyboardInterrupt or GeneratorExit, which would end the event loop of its caller."""


async def run_in_thread(call: Callable[..., _T], *args: Any) -> _T:
    """Run a blocking call off the event loop, in a daemon thread; a cancelled caller leaves it to end by itself.

    Raises:
        UserCodeExitError: The call raised SystemExit, KeyboardInterrupt or GeneratorExit; the message is its class.
    """
    future = start_thread(call, *args)
    await future.wait()
    error = future.exception()
    if isinstance(error, (SystemExit, KeyboardInterrupt, GeneratorExit)):
        raise UserCodeExitError(type(error).__name__) from error
    return future.result()
