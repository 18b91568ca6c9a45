"""Fixtures: a cache without a token, and each way to send a token request."""

from __future__ import annotations

import pytest

from tests._support.clocks import FakeClock
from tests._support.pki import Minted, authority
from tests._support.pki import server as server_certificate
from tests._support.sending import Call, send_blocking, send_in_asyncio, send_in_trio
from tests._support.token_states import Cache


@pytest.fixture(params=[send_blocking, send_in_asyncio, send_in_trio], ids=["blocking", "asyncio", "trio"])
def send(request: pytest.FixtureRequest) -> Call:
    """Return each way to send a token request."""
    call: Call = request.param
    return call


@pytest.fixture(scope="module")
def identity() -> Minted:
    """Return a server's certificate for localhost."""
    return server_certificate(authority())


@pytest.fixture
def cache(clock: FakeClock) -> Cache:
    """Return a cache without a token."""
    return Cache(clock)
