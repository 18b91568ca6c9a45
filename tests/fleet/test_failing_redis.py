"""A Redis that fails while calls are made: no call fails, and the failure is reported once by each process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests._support.redis_server import RedisServer
from tests.fleet import scenarios
from tests.fleet.processes import Result
from tests.fleet.provider import FleetProvider


def _disturb(folder: Path, name: str) -> Result:
    with RedisServer(folder) as server, FleetProvider() as provider:
        return scenarios.disturb(provider, server, name, calls=400, count=2, pause=0.2, lifetime=1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Result]]]:
    """Run all disturbances at once, each with a Redis and a provider of its own: mostly they wait."""
    with ThreadPoolExecutor() as threads:
        yield {
            name: threads.submit(_disturb, tmp_path_factory.mktemp("redis"), name) for name in scenarios.DISTURBANCES
        }


@pytest.mark.parametrize("name", scenarios.DISTURBANCES)
def test_no_call_fails(results: dict[str, Future[Result]], name: str) -> None:
    """The token is renewed several times meanwhile."""
    result = results[name].result()

    assert result.failures == []
    assert len(result.took) == 400
    assert result.requests > 2
    if name == "untouched":
        assert "StoreDegraded" not in result.events
    else:
        assert 1 <= result.events["StoreDegraded"] <= 2 * 3


def test_a_fresh_token_costs_no_command(provider: FleetProvider, redis_server: RedisServer) -> None:
    """By Redis's own counters; after 15 seconds a process looks once."""
    commands, seconds = scenarios.count_commands(provider, redis_server, calls=500)

    assert commands <= seconds // 15
