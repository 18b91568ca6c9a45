"""Token sources that obtain their tokens from a fake, without a configuration's randomness."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from seic._event_types import Emit
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.source import CachingTokenSource
from tests._support.clocks import FakeClock
from tests._support.fakes.server import PATIENCE, FakeServer


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
    server: FakeServer,
    clock: FakeClock | None = None,
    *,
    timeout: float = PATIENCE,
    emit: Emit = lambda _event: None,
    **changes: Any,
) -> TokenEndpoint:
    """Return a server's token endpoint.

    Args:
        server: The server.
        clock: The clocks; None is a new one.
        timeout: The deadline of a token request, in seconds.
        emit: Is called with each event.
        changes: Changes of the server's settings.
    """
    settings: dict[str, Any] = {**server.settings(), **changes}
    hosts: seic.Hosts = settings.pop("hosts")
    url = f"{hosts.api}{server.token_path}"
    clock = clock or FakeClock()
    return TokenEndpoint(url=url, transports=Direct(server), timeout=timeout, clock=clock.clock, emit=emit, **settings)


def source_of(endpoint: TokenEndpoint, **options: Any) -> CachingTokenSource:
    """Return a source of an endpoint's tokens; chance is 0, so no refresh is early and no retry pauses."""
    return CachingTokenSource(endpoint, **{"chance": lambda: 0.0, **options})
