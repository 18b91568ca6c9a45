"""A running sandbox, and a client of each host."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.sandbox_client import api_client, mtls_client


@pytest.fixture
def clock() -> MockClock:
    """The sandbox's clock."""
    return MockClock(start=1000.0)


@pytest.fixture
def sandbox(clock: MockClock) -> Iterator[Sandbox]:
    """A running sandbox with that clock."""
    with Sandbox(clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the api host."""
    with api_client(sandbox) as client:
        yield client


@pytest.fixture
def mtls(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the mtls host, with the service account's certificate."""
    with mtls_client(sandbox) as client:
        yield client
