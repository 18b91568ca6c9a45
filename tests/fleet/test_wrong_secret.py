"""A fleet with a wrong secret does not lock the account: its refusal is shared."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import httpx
import pytest

import seic
from seic.redis import RedisStore
from seic.testing import MockClocks
from tests._support.mocks import gateway_mock
from tests._support.redis_server import RedisServer
from tests.fleet.processes import Fleet
from tests.fleet.provider import FleetProvider
from tests.fleet.worker import KEY, Task

#: The refusals after which many providers lock an account.
_LOCKED_AFTER = 5


class _FilesInPlace(seic.FileStore):
    """A store that is called in place, so that the fake clock moves between its calls only."""

    blocking = False


class _RedisInPlace(RedisStore):
    """The same in Redis."""

    blocking = False


@pytest.mark.parametrize(("kind", "count"), [("file", 60), ("redis", 300)])
async def test_a_minute_of_a_fleet(kind: str, count: int, tmp_path: Path, redis_server: RedisServer) -> None:
    """Each asks every ten seconds, with a store of its own: one request at the start, and one after the pause."""
    gateway, clocks = gateway_mock(), MockClocks()
    gateway.token_responses.extend(httpx.Response(401, json={"error": "invalid_client"}) for _ in range(10 * count))

    def new_store() -> seic.TokenStore:
        return _FilesInPlace(tmp_path, key=KEY) if kind == "file" else _RedisInPlace(redis_server.url, key=KEY)

    fleet = [
        seic.OAuth2Auth(gateway.config(store=new_store()), transport=gateway, clock=clocks.clock) for _ in range(count)
    ]

    async def ask(auth: seic.OAuth2Auth) -> None:
        with pytest.raises(seic.TokenRequestRefused):
            await auth.token()

    for _ in range(6):
        await asyncio.gather(*map(ask, fleet))
        clocks.advance(10)

    assert len(gateway.forms) == 2


async def test_a_secret_that_may_change(tmp_path: Path) -> None:
    """From a file or a program: its refusal is shared, and another one is tried at once."""
    gateway, clocks, secrets = gateway_mock(), MockClocks(), ["wrong"]
    gateway.token_responses.append(httpx.Response(401, json={"error": "invalid_client"}))
    config = gateway.config(client_secret=lambda: secrets[-1])
    fleet = [
        seic.OAuth2Auth(
            attrs.evolve(config, store=_FilesInPlace(tmp_path, key=KEY)), transport=gateway, clock=clocks.clock
        )
        for _ in range(20)
    ]
    for _ in range(2):
        for auth in fleet:
            with pytest.raises(seic.TokenRequestRefused):
                await auth.token()
        clocks.advance(10)
    assert len(gateway.forms) == 1

    secrets.append("right")
    for auth in fleet:
        await auth.token()
    assert len(gateway.forms) == 2


def test_real_processes_that_start_together(provider: FleetProvider, place: str) -> None:
    """All wait for the one that asks, and get its refusal."""
    provider.status = 401
    with Fleet(*[Task(url=provider.url, store=place, secret="wrong", calls=20)] * 12) as fleet:
        fleet.start()
        result = fleet.result()

    assert len(result.failures) == 240
    assert all("invalid_client" in failure for failure in result.failures)
    assert len(provider.requests) < _LOCKED_AFTER
