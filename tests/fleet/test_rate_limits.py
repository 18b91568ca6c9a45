"""A 429 that one process gets stops the calls of all processes with its store."""

from __future__ import annotations

import pytest

from seic._api.shared_rate_limit import LOOK
from tests._support.redis_server import RedisServer
from tests.fleet.processes import Fleet
from tests.fleet.provider import FleetProvider
from tests.fleet.worker import Task

_PAUSE = 0.05
_PROCESSES = 4


def task_of(provider: FleetProvider, place: str | None, **options: object) -> Task:
    """Return the work of a process: a call now and then, until the first that fails."""
    given = {"calls": 300, "concurrency": 1, "pause": _PAUSE, "stops": True, "rate_limit_timeout": 1.0, **options}
    return Task(url=provider.url, store=place, **given)  # type: ignore[arg-type]


def test_a_pause_reaches_all_processes(provider: FleetProvider, place: str) -> None:
    """One gets a 429, and the others send nothing more once they have seen its entry."""
    with Fleet(*[task_of(provider, place)] * _PROCESSES) as fleet:
        fleet.start()
        provider.wait_for_calls(5 * _PROCESSES)
        provider.retry_after = "60"
        result = fleet.result()

    [limited, *refused] = sorted(result.failures)
    assert limited == "429"
    assert all("TooManyRequests" in failure for failure in refused), refused
    assert len(refused) == _PROCESSES - 1
    assert 1 <= result.events["RateLimitStarted"] <= _PROCESSES


def test_a_process_that_starts_in_the_pause_sees_it(provider: FleetProvider, place: str) -> None:
    """With its first call it looks, and does not wait for that."""
    provider.retry_after = "60"
    for expected in ("429", "TooManyRequests"):
        with Fleet(task_of(provider, place)) as fleet:
            fleet.start()
            [failure] = fleet.result().failures
        assert expected in failure


def test_the_looks_are_few(provider: FleetProvider, redis_server: RedisServer) -> None:
    """One command of Redis in five seconds and process, however many calls it makes."""
    seconds = 2 * LOOK
    with Fleet(task_of(provider, redis_server.url, calls=1)) as fleet:
        fleet.start()
        fleet.result()
    calls = int(seconds / _PAUSE)
    with Fleet(task_of(provider, redis_server.url, calls=calls + 1)) as fleet:
        fleet.start()
        # The first call finds the token.
        provider.wait_for_calls(2)
        before = redis_server.commands().get("hget", 0)
        provider.wait_for_calls(calls)
        commands = redis_server.commands()["hget"] - before
        result = fleet.result()

    assert result.failures == []
    assert 1 <= commands <= max(result.took[-1], len(result.took) * _PAUSE + sum(result.took)) / LOOK + 1


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_without_a_store_a_pause_is_that_of_its_process(provider: FleetProvider, timeout: float | None) -> None:
    """The tests above can fail."""
    provider.retry_after = "60"
    with Fleet(*[task_of(provider, None, calls=4, rate_limit_timeout=timeout, stops=False)] * 2) as fleet:
        fleet.start()
        result = fleet.result()

    refused = 0 if timeout is None else 3
    assert len(result.failures) == 1 + refused
