"""Real processes with one store: one token request for all of them, also if the one that sends it dies."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests._support.redis_server import RedisServer
from tests.fleet import scenarios
from tests.fleet.processes import Fleet, Result
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
    for expected in (1, 0):
        requests, result = scenarios.start_together(provider, place, 6)

        assert result.failures == []
        assert len(result.took) == 120
        assert (requests, result.requests) == (expected, expected)


def test_without_a_store_each_process_makes_a_request(provider: FleetProvider) -> None:
    """The test above can fail."""
    with Fleet(*[Task(url=provider.url, store=None)] * 3) as fleet:
        fleet.start()
        fleet.result()

    assert len(provider.requests) == 3, provider.requests


def test_a_program_that_closes_nothing_shares_its_token(provider: FleetProvider, place: str) -> None:
    """A cron job: its save, and the release of its claim, are waited for when it ends."""
    program = (
        "import sys, seic\n"
        "from tests.fleet.worker import config_of, store_of\n"
        "config = config_of(sys.argv[1], store_of(sys.argv[2]), client_secret='s', grant=seic.ClientCredentials())\n"
        "seic.Client(config, headers={'User-Agent': 'pid/1'}).token()"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program, provider.url, place], check=True, timeout=60)

    assert len(provider.requests) == 1, provider.requests


@pytest.fixture
def places(tmp_path: Path, redis_server: RedisServer) -> list[str]:
    """Return the places of both kinds of stores, for scenarios that mostly wait and so can run at once."""
    return [str(tmp_path / "tokens"), redis_server.url]


def _kill(place: str) -> tuple[int, Result]:
    with FleetProvider() as provider:
        return scenarios.kill_holder(provider, place, token_timeout=2.5, count=3)


def test_a_killed_process_holds_the_others_up_for_its_claim_at_most(places: list[str]) -> None:
    """They wait until it ends, and then make one request."""
    with ThreadPoolExecutor() as threads:
        for requests, result in threads.map(_kill, places):
            assert result.failures == []
            assert requests == 2


def _freeze(place: str) -> tuple[int, Result, Result, str | None]:
    with FleetProvider() as provider:
        found = scenarios.freeze_holder(provider, place, token_timeout=2.5, count=3)
        return *found, stored_token(Task(url=provider.url, store=place))


def test_a_frozen_process_overwrites_nothing(places: list[str]) -> None:
    """Another takes over; the frozen one continues after that, and uses the token of the other."""
    with ThreadPoolExecutor() as threads:
        for requests, others, own, stored in threads.map(_freeze, places):
            assert (others.failures, own.failures) == ([], [])
            assert len(own.took) == 20
            assert stored == "a2"
            assert requests == 2


def test_no_refresh_token_is_sent_twice(provider: FleetProvider, place: str) -> None:
    """Each renewal of each process sends the refresh token of the one before."""
    requests, result = scenarios.renew(provider, place, count=3, renewals=5)

    assert result.failures == []
    assert provider.spent_twice == []
    assert requests == 1 + 3 * 5


@pytest.mark.parametrize("preload", [False, True])
def test_the_workers_of_a_server_make_one_request(places: list[str], preload: bool) -> None:
    """After a restart of the server, none; without `--preload`, its workers are processes as those above."""
    for place in places if preload else places[1:]:
        with FleetProvider() as provider:
            for requests in (1, 1):
                with scenarios.gunicorn(provider, place, preload=preload, count=2) as url:
                    assert scenarios.call_workers(url, 2) == {200}
                assert len(provider.requests) == requests, provider.requests


def test_refused_credentials_are_sent_once(provider: FleetProvider, place: str) -> None:
    """A provider locks an account after a few wrong passwords; another secret is tried at once."""
    provider.status = 401
    for secret, requests in (("wrong", 1), ("wrong", 1), ("also wrong", 2)):
        with Fleet(*[Task(url=provider.url, store=place, secret=secret, calls=4, concurrency=4)] * 3) as fleet:
            fleet.start()
            result = fleet.result()

        assert len(result.failures) == 12
        assert all("invalid_client" in failure for failure in result.failures)
        assert len(provider.requests) == requests, provider.requests
    provider.status = 200
    with Fleet(Task(url=provider.url, store=place, secret="right")) as fleet:
        fleet.start()
        assert fleet.result().failures == []
