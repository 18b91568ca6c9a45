"""Starts the processes of a fleet, and collects their results."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import subprocess
import sys
from typing import Self

import attrs

from tests.fleet.worker import Task

_PATIENCE = 120.0


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
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.fleet.worker", json.dumps(attrs.asdict(task))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for task in tasks
        ]
        self._gone: set[int] = set()

    def start(self) -> None:
        """Have all work, once all are ready."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()

    def kill(self, pid: int) -> None:
        """Kill a process; its result is not expected."""
        self._gone.add(pid)
        self.signal(pid, signal.SIGKILL)

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to a process."""
        (process,) = [process for process in self._processes if process.pid == pid]
        process.send_signal(number)

    def result(self, *, without: int | None = None) -> Result:
        """Wait for the results; `without` leaves a process out that is frozen."""
        found = []
        for process in self._processes:
            if process.pid not in self._gone and process.pid != without:
                output, _ = process.communicate(timeout=_PATIENCE)
                found.append(json.loads(output))
                self._gone.add(process.pid)
        events: dict[str, int] = {}
        for one in found:
            for name, count in one["events"].items():
                events[name] = events.get(name, 0) + count
        failures = [failure for one in found for failure in one["failures"]]
        took = [seconds for one in found for seconds in one["took"]]
        return Result(failures, took, sum(one["requests"] for one in found), events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()
