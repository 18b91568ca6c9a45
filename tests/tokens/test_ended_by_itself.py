"""A fetch that ends by something that nobody asked for is a failure: it pauses, and is told to whoever waits."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from seic._errors import TokenEndpointUnavailable
from tests._support.fakes.token_endpoint import FakeEndpoint


@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit])
async def test_it_is_told_once_and_not_started_anew_for_ever(server: FakeEndpoint, kind: type[BaseException]) -> None:
    """A library that lets a cancellation of its own slip out, or a program's exit, must not become a storm."""
    source = server.source()
    server.plan.append(cast("Any", kind()))
    with pytest.raises(TokenEndpointUnavailable) as caught:
        await source.token()
    assert kind.__name__ in str(caught.value)
    assert source.cache.stats.token_requests == 1


def test_a_blocking_fetch_too(server: FakeEndpoint) -> None:
    """The thread that fetches has nobody to interrupt it."""
    source = server.source()
    server.plan.append(cast("Any", SystemExit()))
    with pytest.raises(TokenEndpointUnavailable):
        source.token_sync()
    assert source.cache.stats.token_requests == 1
