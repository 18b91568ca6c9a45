"""Starts the processes of a fleet, and collects their results."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
from typing import Any, Self

import attrs

from tests.fleet.worker import Task, run

_PATIENCE = 120.0
# Forked from one process that has imported everything: an import takes longer than most scenarios.
_KIND = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_context: Any = multiprocessing.get_context(_KIND)
_context.set_forkserver_preload(["tests.fleet.scenarios", "tests.fleet.warm"])


@attrs.frozen
class Result:
    """The calls and events of the processes that ended by themselves.

    Attributes:
        failures: The errors of calls.
        took: Seconds of each call.
        requests: Token requests, by the processes' own count.
        events: The number of each event.
    """

    failures: list[str]
    took: list[float]
    requests: int
    events: dict[str, int]

    def percentile(self, share: float) -> float:
        """Return the time of a call, in milliseconds, that a share of calls does not exceed."""
        times = sorted(self.took)
        return 1000 * times[math.ceil(share * len(times)) - 1]


class Fleet:
    """Processes that run inside `with`; they start to work together."""

    def __init__(self, *tasks: Task) -> None:
        self._processes: dict[int, tuple[Any, Any]] = {}
        self._gone: set[int] = set()
        for task in tasks:
            connection, other_end = _context.Pipe()
            process = _context.Process(target=run, args=(task, other_end), daemon=True)
            process.start()
            other_end.close()
            self._processes[process.pid] = process, connection

    def start(self) -> None:
        """Have all work, once all are ready."""
        for pid in self._processes:
            assert self._receive(pid) == "ready"
        for _, connection in self._processes.values():
            connection.send("start")

    def kill(self, pid: int) -> None:
        """Kill a process; its result is not expected."""
        self._gone.add(pid)
        self.signal(pid, signal.SIGKILL)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process."""
        assert pid in self._processes
        os.kill(pid, number)

    def result(self, *, without: int | None = None) -> Result:
        """Wait for the results; `without` leaves a process out that is frozen."""
        found = []
        for pid in self._processes:
            if pid not in self._gone and pid != without:
                found.append(self._receive(pid))
                self._gone.add(pid)
        events: dict[str, int] = {}
        for one in found:
            for name, count in one["events"].items():
                events[name] = events.get(name, 0) + count
        failures = [failure for one in found for failure in one["failures"]]
        took = [seconds for one in found for seconds in one["took"]]
        return Result(failures, took, sum(one["requests"] for one in found), events)

    def _receive(self, pid: int) -> Any:
        _, connection = self._processes[pid]
        assert connection.poll(_PATIENCE), "a process did not answer"
        return connection.recv()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, connection in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.join()
            connection.close()
