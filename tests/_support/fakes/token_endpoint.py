"""A plain token endpoint in memory."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.held import Held
from seic._tokens.source import TokenSource
from tests._support.clocks import FakeClock
from tests._support.fakes.server import PATIENCE, FakeServer
from tests._support.fakes.sources import endpoint_of, source_of

__all__ = ["PATIENCE", "SECRET", "UNAVAILABLE", "FakeEndpoint", "landed", "name", "refusal"]

SECRET = "client-secret-1"
UNAVAILABLE = httpx.Response(503)


class FakeEndpoint(FakeServer):
    """A token endpoint alone: each request is a token request, whatever its URL."""

    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""
        return {
            "provider": seic.OAUTH2,
            "hosts": seic.Hosts(api="https://idp.example"),
            "client_id": "client-1",
            "client_secret": SECRET,
            "grant": seic.ClientCredentials(),
        }

    def is_token_request(self, request: httpx.Request) -> bool:
        """True."""
        return True

    def endpoint(self, *, timeout: float = PATIENCE) -> TokenEndpoint:
        """Return the SDK's side of this endpoint."""
        return endpoint_of(self, timeout=timeout)

    def source(self, clock: FakeClock | None = None, *, timeout: float = PATIENCE, **options: Any) -> TokenSource:
        """Return a source of its tokens; see `source_of`."""
        return source_of(self.endpoint(timeout=timeout), clock, **options)


def name(held: Held) -> str:
    """Return the access token itself."""
    return held.token.access_token


async def landed(source: TokenSource) -> None:
    """Wait until no refresh is pending."""
    while (flight := source.state.flight) is not None:
        assert await flight.wait_async(PATIENCE)


def refusal(status: int = 401, **body: Any) -> httpx.Response:
    """Return an error response (RFC 6749 §5.2)."""
    return httpx.Response(status, json={"error": "invalid_client", **body})
