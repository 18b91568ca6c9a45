"""A provider, and the places of stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.redis_server import RedisServer
from tests.fleet.provider import FleetProvider


@pytest.fixture
def provider() -> Iterator[FleetProvider]:
    """Return a running provider."""
    with FleetProvider() as provider:
        yield provider


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Return a running redis-server."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture(params=["file", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the place of each kind of store."""
    if request.param == "file":
        return str(tmp_path / "tokens")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url
