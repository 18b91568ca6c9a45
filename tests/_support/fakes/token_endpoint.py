"""A plain token endpoint in memory."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from seic._event_types import Emit
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.refresh_policy import CachedToken
from seic._tokens.source import CachingTokenSource
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

    def endpoint(self, clock: FakeClock | None = None, **options: Any) -> TokenEndpoint:
        """Return the SDK's side of this endpoint; see `endpoint_of`."""
        return endpoint_of(self, clock, **options)

    def source(
        self,
        clock: FakeClock | None = None,
        *,
        timeout: float = PATIENCE,
        emit: Emit = lambda _event: None,
        **options: Any,
    ) -> CachingTokenSource:
        """Return a source of its tokens; see `source_of`."""
        return source_of(self.endpoint(clock, timeout=timeout, emit=emit), **options)


def name(held: CachedToken) -> str:
    """Return the access token itself."""
    return held.token.access_token


async def landed(source: CachingTokenSource) -> None:
    """Wait until no refresh is pending."""
    while (pending := source.cache.pending) is not None:
        assert await pending.future.wait(PATIENCE)


def refusal(status: int = 401, **body: Any) -> httpx.Response:
    """Return an error response (RFC 6749 §5.2)."""
    return httpx.Response(status, json={"error": "invalid_client", **body})
