"""A redis-server for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._support.redis_server import RedisServer


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Return a running redis-server."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
