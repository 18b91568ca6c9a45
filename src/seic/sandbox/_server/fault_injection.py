"""Planned faults, and delays and holds of token responses; set from a test's thread, applied in the server's."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping

import attrs

from seic.sandbox._server.fault import Fault, FaultName, FaultTarget


@attrs.frozen(kw_only=True)
class InjectedFailure:
    """A response in place of a token.

    Args:
        status: The HTTP status.
        headers: Further headers, such as `Retry-After`.
        body: The body; None for the error body of the dialect.
    """

    status: int
    headers: Mapping[str, str]
    body: str | None


class Hold:
    """Token requests that wait for their response until they are released."""

    def __init__(self) -> None:
        self._changed = threading.Condition()  # guards the following
        self._released = False
        self._arrived = 0
        self._waiters: set[asyncio.Future[None]] = set()

    def wait_for(self, calls: int, timeout: float = 10.0) -> None:
        """Block until this many token requests have arrived; in a coroutine, use `asyncio.to_thread`.

        Args:
            calls: The number of requests since the start of the hold.
            timeout: Seconds.

        Raises:
            TimeoutError: Fewer requests arrived in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= calls, timeout):
                raise TimeoutError(f"{self._arrived} of {calls} token requests arrived within {timeout} seconds")

    def release(self) -> None:
        """Answer the held requests and all later ones; a second call changes nothing."""
        with self._changed:
            self._released = True
            for waiter in self._waiters:
                waiter.get_loop().call_soon_threadsafe(_finish, waiter)
            self._waiters.clear()

    async def _wait_until_released(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._released:
                return
            self._waiters.add(waiter)
            self._arrived += 1
            self._changed.notify_all()
        try:
            await waiter
        finally:
            with self._changed:
                self._waiters.discard(waiter)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class FaultInjector:
    """The current faults; every method may be called from any thread.

    The faults of a target apply in the order of planning. One without an end applies when no other one is left.
    """

    def __init__(self) -> None:
        #: Seconds by which each token response is delayed.
        self.token_latency = 0.0
        self._lock = threading.Lock()  # guards the following
        self._planned: dict[FaultTarget, collections.deque[InjectedFailure | Fault]] = {
            "token": collections.deque(),
            "api": collections.deque(),
        }
        self._permanent: dict[FaultTarget, Fault] = {}
        self._hold: Hold | None = None

    def plan(self, failure: InjectedFailure, times: int) -> None:
        """Apply a failure to the next token requests, after the faults planned before.

        Args:
            failure: The failure.
            times: The number of requests.
        """
        with self._lock:
            self._planned["token"].extend(itertools.repeat(failure, times))

    def inject(self, fault: Fault) -> None:
        """Plan a fault; one without an end replaces the one of the same target."""
        with self._lock:
            if fault.times is None:
                self._permanent[fault.target] = fault
            else:
                self._planned[fault.target].extend(itertools.repeat(fault, fault.times))

    def clear(self, target: FaultTarget | None = None, name: FaultName | None = None) -> None:
        """Drop the faults of a target with a name; None for all."""

        def is_kept(fault: InjectedFailure | Fault) -> bool:
            return name is not None and (isinstance(fault, InjectedFailure) or fault.name != name)

        with self._lock:
            for each in self._planned if target is None else (target,):
                self._planned[each] = collections.deque(filter(is_kept, self._planned[each]))
                if each in self._permanent and not is_kept(self._permanent[each]):
                    del self._permanent[each]

    def snapshot(self) -> list[Fault]:
        """Return the faults that are left, those of equal kind together, with the number of requests."""
        with self._lock:
            planned = [fault for faults in self._planned.values() for fault in faults if isinstance(fault, Fault)]
            permanent = [*self._permanent.values()]
        counted = collections.Counter(attrs.evolve(fault, times=1) for fault in planned)
        return [*(attrs.evolve(fault, times=times) for fault, times in counted.items()), *permanent]

    @contextlib.contextmanager
    def hold(self) -> Iterator[Hold]:
        """Hold token responses until the block ends.

        Raises:
            RuntimeError: They are already held.
        """
        hold = Hold()
        with self._lock:
            if self._hold is not None:
                raise RuntimeError("token responses are already held")
            self._hold = hold
        try:
            yield hold
        finally:
            with self._lock:
                self._hold = None
            hold.release()

    async def wait(self) -> None:
        """Wait as long as a token response is held or delayed."""
        hold = self._hold
        if hold is not None:
            await hold._wait_until_released()  # noqa: SLF001 - not for the users of Hold
        if self.token_latency:
            await asyncio.sleep(self.token_latency)

    def take(self, target: FaultTarget) -> InjectedFailure | Fault | None:
        """Return the fault of this request, if there is one."""
        with self._lock:
            planned = self._planned[target]
            return planned.popleft() if planned else self._permanent.get(target)
