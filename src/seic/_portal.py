"""Start coroutines that outlive their callers: in the caller's own event loop, or in the portal for blocking callers.

The portal is one asyncio loop in a daemon thread, which ends about a second after its last task. `start` runs a
coroutine function in the caller's loop, `submit` in the portal, and `run` blocks until the portal has its result. No
user's code runs in the portal's loop: `run_in_thread` is for that.

A forked child begins without the portal and the tasks of its parent, and never closes its parent's loop.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from seic._concurrency import SharedFuture, UserCodeExitError, current_loop, current_trio, start_eagerly, start_thread
from seic._errors import TokenError

if TYPE_CHECKING:
    import asyncio

_T = TypeVar("_T")
_Call = Callable[[], Coroutine[Any, Any, _T]]

#: The time that the portal's thread lives after its last task, in seconds.
_IDLE = 1.0
#: The longest that a new portal may take to run its first callback, in seconds: beyond, the process runs no threads.
_START = 1.0
#: The longest that the exit of the interpreter waits for the portal, in seconds.
_EXIT = 1.0


class BackgroundTask(Generic[_T]):
    """A coroutine that runs in a task of its own and outlives the cancellation of its starter."""

    def __init__(self) -> None:
        #: The result or the error; `concurrent.futures.CancelledError` if it was cancelled.
        self.future: SharedFuture[_T] = SharedFuture()
        self._pid = os.getpid()

    def is_alive(self) -> bool:
        """Whether it can make progress: it has not ended, and its loop runs in this process."""
        return not self.future.done() and self._pid == os.getpid() and self._loop_runs()

    def is_here(self) -> bool:
        """Whether it runs in the caller's own event loop, and so makes no progress while the caller blocks."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Cancel it; safe from any thread, and more than once is the same as once."""
        raise NotImplementedError

    def _loop_runs(self) -> bool:
        raise NotImplementedError


class _AsyncioTask(BackgroundTask[_T]):
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._task: asyncio.Task[_T] | None = None

    def begin(self, call: _Call[_T], context: contextvars.Context) -> None:
        """Take the first step of the coroutine at once: what it waits for goes on while others work."""
        try:
            self._task = start_eagerly(call(), self._loop, context)
        except BaseException:  # the starter's own interruption
            self.future.set_exception(concurrent.futures.CancelledError())
            raise
        # An event loop holds its tasks by weak references only.
        _running.add(self._task)
        if self._task.done():
            self._ended(self._task)
        else:
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[_T]) -> None:
        import asyncio

        _running.discard(task)
        try:
            self.future.set_result(task.result())
        except asyncio.CancelledError:
            self.future.set_exception(concurrent.futures.CancelledError())
        except BaseException as error:  # noqa: BLE001  # it is for the waiters
            self.future.set_exception(error)

    def _loop_runs(self) -> bool:
        return self._loop.is_running() and not self._loop.is_closed()

    def is_here(self) -> bool:
        return current_loop() is self._loop

    def cancel(self) -> None:
        with contextlib.suppress(RuntimeError):  # a closed loop's tasks can never end
            self._loop.call_soon_threadsafe(lambda: self._task is not None and self._task.cancel())


class _TrioTask(BackgroundTask[_T]):
    def __init__(self, library: Any) -> None:
        super().__init__()
        self._library = library
        self._token = library.lowlevel.current_trio_token()
        self._scope = library.CancelScope()

    def begin(self, call: _Call[_T], context: contextvars.Context) -> None:
        """Start it; no child of the caller's nursery, because the caller may be cancelled."""
        self._library.lowlevel.spawn_system_task(self._run, call, context=context)

    async def _run(self, call: _Call[_T]) -> None:
        # A system task that raises takes the whole trio run down.
        try:
            with self._scope:
                result = await call()
        except self._library.Cancelled:
            self.future.set_exception(concurrent.futures.CancelledError())
            raise
        except BaseException as error:  # noqa: BLE001  # it is for the waiters
            self.future.set_exception(error)
            return
        if self._scope.cancelled_caught:
            self.future.set_exception(concurrent.futures.CancelledError())
        else:
            self.future.set_result(result)

    def _loop_runs(self) -> bool:
        return True

    def is_here(self) -> bool:
        return current_loop() is self._token

    def cancel(self) -> None:
        with contextlib.suppress(self._library.RunFinishedError):
            self._token.run_sync_soon(self._scope.cancel)


_running: set[asyncio.Task[Any]] = set()


def start(call: _Call[_T], *, bind: Callable[[BackgroundTask[_T]], None] | None = None) -> BackgroundTask[_T]:
    """Start a coroutine function as a task of its own in the caller's event loop, with a copy of its context variables.

    In asyncio its first step is taken before this returns, in trio with the next turn of the loop. `bind` is given the
    task before that.
    """
    import asyncio

    task: _TrioTask[_T] | _AsyncioTask[_T]
    if (library := current_trio()) is not None:
        task = _TrioTask(library)
    elif (portal := _portals.get(os.getpid())) is not None and portal.is_here():
        task = portal.new_task(asyncio.get_running_loop())
    else:
        task = _AsyncioTask(asyncio.get_running_loop())
    if bind is not None:
        bind(task)
    task.begin(call, contextvars.copy_context())
    return task


def _daemon_executor() -> concurrent.futures.ThreadPoolExecutor:
    """Return the portal loop's executor, for name look-ups: one that hangs must not hold up the interpreter's exit."""

    # Here, since its base class is imported by its use.
    class DaemonExecutor(concurrent.futures.ThreadPoolExecutor):
        def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[_T]:
            return start_thread(lambda: fn(*args, **kwargs))

    return DaemonExecutor()


class _Portal:
    """The one asyncio loop of this process that blocking callers submit to, in a daemon thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks = 0
        #: Set when the thread has run a callback of the loop.
        self.has_run = threading.Event()

    def is_here(self) -> bool:
        """Whether the caller runs in the portal's thread."""
        thread = self._thread
        # A later thread may have the ident of one that has ended.
        return thread is not None and thread.ident == threading.get_ident() and thread.is_alive()

    def has_loop(self, loop: object) -> bool:
        """Whether its tasks run in this loop."""
        return self._loop is loop

    def submit(self, call: _Call[_T]) -> BackgroundTask[_T]:
        context = contextvars.copy_context()
        with self._lock:
            loop = self._open() if self._loop is None or self._loop.is_closed() else self._loop
            task: _AsyncioTask[_T] = self.new_task(loop)
            loop.call_soon_threadsafe(task.begin, call, context)
        return task

    def new_task(self, loop: asyncio.AbstractEventLoop) -> _AsyncioTask[Any]:
        """Return a task of the portal's loop, which does not end before it, even if its starter does."""
        with self._lock:
            self._tasks += 1
        task: _AsyncioTask[Any] = _PortalTask(loop, self)
        task.future.add_done_callback(self._ended)
        return task

    def stop(self, seconds: float) -> None:
        """End the thread, and wait for that for at most `seconds`."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is not None and thread is not None and not self.is_here():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)
            thread.join(seconds)

    def _open(self) -> asyncio.AbstractEventLoop:
        import asyncio

        # By name: a policy may give a loop that is the program's own.
        loop = asyncio.SelectorEventLoop()
        loop.set_default_executor(_daemon_executor())
        loop.call_soon(self.has_run.set)
        thread = threading.Thread(target=self._run, args=(loop,), name="seic", daemon=True)
        self._tasks = 0
        try:
            thread.start()
        except RuntimeError:
            loop.close()
            raise TokenError("the interpreter is shutting down, and no thread can be started") from None
        self._loop, self._thread = loop, thread
        return loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        import asyncio

        try:
            is_stopped = False
            while not is_stopped:
                # Raised in a callback; the loop is everyone's, and goes on with the next.
                with contextlib.suppress(SystemExit, KeyboardInterrupt):
                    loop.run_forever()
                    is_stopped = True
            # At the exit tasks may be left; and streams that were not read to their end.
            if tasks := asyncio.all_tasks(loop):
                for task in tasks:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(tasks, timeout=_EXIT / 2))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    def _ended(self, _future: object) -> None:
        with self._lock:
            self._tasks -= 1
            loop = self._loop
        if self._tasks == 0 and loop is not None:
            with contextlib.suppress(RuntimeError):
                loop.call_later(_IDLE, self._stop_if_idle, loop)

    def _stop_if_idle(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            if self._loop is not loop or self._tasks > 0:
                return
            self._loop = None
        loop.stop()


class _PortalTask(_AsyncioTask[_T]):
    def __init__(self, loop: asyncio.AbstractEventLoop, portal: _Portal) -> None:
        super().__init__(loop)
        self._portal = portal

    def begin(self, call: _Call[_T], context: contextvars.Context) -> None:
        """Take the first step; no task raises SystemExit or KeyboardInterrupt, which would leave the portal's loop."""

        async def contained() -> _T:
            try:
                return await call()
            except (SystemExit, KeyboardInterrupt) as error:
                raise UserCodeExitError(type(error).__name__) from error

        super().begin(contained, context)

    def _loop_runs(self) -> bool:
        # Its thread may not have had a turn yet.
        return not self._loop.is_closed()

    def is_here(self) -> bool:
        # Not by the running loop: under gevent the portal and its callers are greenlets of one thread.
        return self._portal.is_here()


#: By process: a child keeps its parent's portal, and never touches it.
_portals: dict[int, _Portal] = {}


def _portal() -> _Portal:
    pid = os.getpid()
    return _portals.get(pid) or _portals.setdefault(pid, _Portal())


@atexit.register
def _stop_at_exit() -> None:
    if (portal := _portals.get(os.getpid())) is not None:
        portal.stop(_EXIT)


def is_in_portal() -> bool:
    """Whether the caller runs in the portal's thread, where nothing may block."""
    return _portal().is_here()


def is_portal(loop: object) -> bool:
    """Whether an event loop is that of the portal."""
    return _portal().has_loop(loop)


def submit(call: _Call[_T]) -> BackgroundTask[_T]:
    """Start a coroutine function in the portal; TokenError if no thread can be started at the interpreter's exit."""
    return _portal().submit(call)


def submit_to(loop: asyncio.AbstractEventLoop, call: _Call[_T]) -> BackgroundTask[_T]:
    """Start a coroutine function in a loop of the application that runs in another thread."""
    task: _AsyncioTask[_T] = _AsyncioTask(loop)
    loop.call_soon_threadsafe(task.begin, call, contextvars.copy_context())
    return task


def run(call: _Call[_T], *, seconds: float | None = None) -> _T:
    """Run a coroutine function in the portal and block until it ends; the caller's interruption cancels it."""
    portal = _portal()
    if portal.is_here():
        raise TokenError("a blocking call was made in seic's own event loop, by a listener; make it in a thread")
    task = portal.submit(call)
    try:
        first = _START if seconds is None else min(_START, seconds)
        if not task.future.wait_sync(first):
            if not portal.has_run.is_set():
                raise TokenError(
                    "this process runs no threads: seic's did not start within a second; allow them (in uWSGI: "
                    "enable-threads = true), or use the async client"
                )
            if not task.future.wait_sync(None if seconds is None else max(0.0, seconds - first)):
                raise TokenError(f"no result within {seconds:g} s")
        return task.future.result()
    except BaseException:
        task.cancel()
        raise
