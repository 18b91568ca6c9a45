"""Real processes with one store: one token request for all of them, also if the one that sends it dies."""

from __future__ import annotations

import os
import signal

import pytest

from tests.fleet.processes import Fleet
from tests.fleet.provider import FleetProvider
from tests.fleet.worker import Task, config_of, settings_of, store_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def stored_token(task: Task) -> str | None:
    """Return the stored access token."""
    store = store_of(task.store)
    assert store is not None
    token = store.load(config_of(task.url, store, **settings_of(task)).store_key(None))
    return None if token is None else token.access_token


def test_processes_that_start_together_make_one_request(provider: FleetProvider, place: str) -> None:
    """With 20 calls each; later ones find the token in the store."""
    task = Task(url=provider.url, store=place)
    for expected in (1, 0):
        with Fleet(*[task] * 8) as fleet:
            fleet.start()
            result = fleet.result()

        assert result.failures == []
        assert len(result.took) == 160
        assert (len(provider.requests), result.requests) == (expected, expected)
        provider.reset()


def test_without_a_store_each_process_makes_a_request(provider: FleetProvider) -> None:
    """The test above can fail."""
    with Fleet(*[Task(url=provider.url, store=None)] * 4) as fleet:
        fleet.start()
        fleet.result()

    assert len(provider.requests) == 4


def test_a_killed_process_holds_the_others_up_for_its_claim_at_most(provider: FleetProvider, place: str) -> None:
    """They wait until it ends, and then make one request."""
    provider.held = 1
    with Fleet(*[Task(url=provider.url, store=place, token_timeout=1.0)] * 4) as fleet:
        fleet.start()
        fleet.kill(provider.arrived.get(timeout=30).pid)
        result = fleet.result()

    assert result.failures == []
    assert len(provider.requests) == 2
    # The claim lasts for `token_timeout` and three seconds.
    assert max(result.took) < 4 + 5


def test_a_frozen_process_overwrites_nothing(provider: FleetProvider, place: str) -> None:
    """Another takes over; the frozen one continues after that, and uses the token of the other."""
    provider.held = 1
    task = Task(url=provider.url, store=place, token_timeout=1.0)
    with Fleet(*[task] * 4) as fleet:
        fleet.start()
        pid = provider.arrived.get(timeout=30).pid
        fleet.signal(pid, signal.SIGSTOP)
        provider.gate.set()
        result = fleet.result(without=pid)
        assert result.failures == []
        assert stored_token(task) == "a2"
        fleet.signal(pid, signal.SIGCONT)
        thawed = fleet.result()

    assert thawed.failures == []
    assert len(thawed.took) == 20
    assert stored_token(task) == "a2"
    assert len(provider.requests) == 2


def test_no_refresh_token_is_sent_twice(provider: FleetProvider, place: str) -> None:
    """Each renewal of each process sends the refresh token of the one before."""
    provider.refreshable = True
    task = Task(url=provider.url, store=place, refreshable=True, calls=1, concurrency=1, renewals=5)
    with Fleet(*[task] * 4) as fleet:
        fleet.start()
        result = fleet.result()

    assert result.failures == []
    assert provider.spent_twice == []
    assert len(provider.requests) == 1 + 4 * 5
