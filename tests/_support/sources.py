"""Token sources that obtain their tokens from a mock provider, without a configuration's randomness."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from seic._event_types import Emit
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.refresh_policy import CachedToken
from seic._tokens.single_use import shared_memory
from seic._tokens.source import CachingTokenSource
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE


class Direct:
    """The transport factory of a token endpoint that returns one transport each time."""

    closes_after_call = False
    user_agent = "test"

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def open(self) -> httpx.AsyncBaseTransport:
        """Return the transport."""
        transport: httpx.AsyncBaseTransport = self._transport
        return transport

    def open_sync(self) -> httpx.BaseTransport:
        """Return the transport."""
        transport: httpx.BaseTransport = self._transport
        return transport


def endpoint_of(
    mock: MockProvider,
    clock: FakeClock | None = None,
    *,
    timeout: float = PATIENCE,
    emit: Emit = lambda _event: None,
    **changes: Any,
) -> TokenEndpoint:
    """Return a mock provider's token endpoint.

    Args:
        mock: The provider.
        clock: The clocks; None is a new one.
        timeout: The deadline of a token request, in seconds.
        emit: Is called with each event.
        changes: Changes of the endpoint's settings.
    """
    config = mock.config()
    names = ("provider", "client_id", "client_secret", "grant")
    settings: dict[str, Any] = {**{name: getattr(config, name) for name in names}, **changes}
    clock = clock or FakeClock()
    return TokenEndpoint(
        url=str(config.token_url),
        transports=Direct(mock),
        timeout=timeout,
        clock=clock.clock,
        emit=emit,
        **settings,
    )


def source_of(
    mock: MockProvider,
    clock: FakeClock | None = None,
    *,
    timeout: float = PATIENCE,
    emit: Emit = lambda _event: None,
    **options: Any,
) -> CachingTokenSource:
    """Return a source of a mock provider's tokens; chance is 0, so no refresh is early and no retry pauses."""
    endpoint = endpoint_of(mock, clock, timeout=timeout, emit=emit)
    return CachingTokenSource(endpoint, **{"chance": lambda: 0.0, **options})


def granted_source_of(
    mock: MockProvider, grant: seic.Grant, clock: FakeClock | None = None, **options: Any
) -> CachingTokenSource:
    """Return a source with another grant and a store key, which shares the memory of its key."""
    emit = options.pop("emit", lambda _event: None)
    provider = options.pop("provider", mock.config().provider)
    endpoint = endpoint_of(mock, clock, emit=emit, grant=grant, provider=provider)
    memory = options.pop("memory", None) or shared_memory("key", store=options.get("store"), transport=mock)
    options = {"chance": lambda: 0.0, "memory": memory, "store_key": lambda _: "key", **options}
    return CachingTokenSource(endpoint, **options)


def access_token_of(held: CachedToken) -> str:
    """Return the access token itself."""
    return held.token.access_token


async def landed(source: CachingTokenSource) -> None:
    """Wait until no refresh is pending."""
    while (pending := source.cache.pending) is not None:
        assert await pending.future.wait(PATIENCE)
