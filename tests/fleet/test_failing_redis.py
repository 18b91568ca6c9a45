"""A Redis that fails while calls are made: no call fails, and the failure is reported once by each process."""

from __future__ import annotations

import pytest

from tests._support.redis_server import RedisServer
from tests.fleet import scenarios
from tests.fleet.provider import FleetProvider


@pytest.mark.parametrize("name", scenarios.DISTURBANCES)
def test_no_call_fails(provider: FleetProvider, redis_server: RedisServer, name: str) -> None:
    """The token is renewed several times meanwhile."""
    result = scenarios.disturb(provider, redis_server, name, calls=600, count=2, pause=0.15, lifetime=2)

    assert result.failures == []
    assert len(result.took) == 600
    if name == "untouched":
        assert "StoreDegraded" not in result.events
    else:
        assert 1 <= result.events["StoreDegraded"] <= 2 * 3


def test_a_fresh_token_costs_no_command(provider: FleetProvider, redis_server: RedisServer) -> None:
    """By Redis's own counters; after 15 seconds a process looks once."""
    commands, seconds = scenarios.count_commands(provider, redis_server, calls=500)

    assert commands <= seconds // 15
