"""`SingleFlight`: one run at a time, shared by its callers."""

from __future__ import annotations

import anyio
import pytest

from seic._concurrency import SharedFuture, SingleFlight, start_thread
from seic._portal import BackgroundTask, start
from tests._support.forking import forks, in_child


async def test_callers_share_the_run_in_progress() -> None:
    """A second caller gets the same run, one after its end gets another."""
    gate = anyio.Event()
    flight: SingleFlight[BackgroundTask[None]] = SingleFlight()

    first = flight.join(lambda: start(gate.wait))
    assert flight.join(lambda: start(gate.wait)) is first
    assert flight.pending is first
    gate.set()
    await first.future.wait()

    assert flight.pending is None
    assert flight.join(lambda: start(gate.wait)) is not first


def test_a_run_in_a_thread() -> None:
    """A run that failed is over, too."""

    def fail() -> None:
        raise LookupError

    flight: SingleFlight[SharedFuture[None]] = SingleFlight()
    run = flight.join(lambda: start_thread(fail))
    with pytest.raises(LookupError):
        run.result(10)

    assert flight.pending is None


@forks
def test_a_forked_child_starts_a_run_of_its_own() -> None:
    """The thread of the parent's run does not exist in the child."""
    flight: SingleFlight[SharedFuture[None]] = SingleFlight()
    parent = flight.join(SharedFuture)

    assert in_child(lambda: flight.pending is None and flight.join(SharedFuture) is not parent) == "True"
    assert flight.pending is parent
