"""A refresh that ends unexpectedly is a failure: the next one pauses, and waiting callers get an error."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from seic import TokenEndpointUnavailable
from seic.testing import MockProvider
from tests._support.sources import source_of


@pytest.mark.parametrize("kind", [asyncio.CancelledError, SystemExit])
async def test_it_fails_once_and_is_not_restarted_in_a_loop(server: MockProvider, kind: type[BaseException]) -> None:
    """A CancelledError from a library, or SystemExit, must not cause an endless loop."""
    source = source_of(server)
    server.token_responses.append(cast("Any", kind()))
    with pytest.raises(TokenEndpointUnavailable) as caught:
        await source.token()
    assert kind.__name__ in str(caught.value)
    assert source.cache.stats.token_requests == 1


def test_a_blocking_fetch_too(server: MockProvider) -> None:
    """The refresh of a blocking caller has no caller that could interrupt it."""
    source = source_of(server)
    server.token_responses.append(cast("Any", SystemExit()))
    with pytest.raises(TokenEndpointUnavailable):
        source.token_sync()
    assert source.cache.stats.token_requests == 1
