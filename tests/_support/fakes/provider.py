"""A strict OAuth 2.0 provider in memory: refresh tokens rotate, and reuse ends the token family (RFC 9700 §4.14.2)."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import httpx

import seic
from seic import Grant
from seic._tokens.single_use import shared_memory
from seic._tokens.source import CachingTokenSource
from tests._support.clocks import FakeClock
from tests._support.fakes.server import FakeServer
from tests._support.fakes.sources import endpoint_of, source_of

URL = "https://idp.example/token"
PROVIDER = seic.Provider(
    token_url="/token", name="the test provider", introspection_url="/introspect", revocation_url="/end"
)


class FakeProvider(FakeServer):
    """The strict provider.

    Attributes:
        rotates: Whether each refresh returns another refresh token.
        refreshable: Whether tokens come with a refresh token.
        killed: Families that the reuse of a refresh token has ended.
    """

    answers_before_gate = True
    token_path = "/token"

    def __init__(self) -> None:
        super().__init__()
        self.rotates = True
        self.refreshable = True
        self.killed: set[str] = set()
        self._good: dict[str, str] = {"r0": "family-0"}
        self._used: dict[str, str] = {}
        self._numbers = itertools.count(1)

    @property
    def asked(self) -> list[str]:
        """The refresh token or the grant type of each token request."""
        return [form.get("refresh_token") or form["grant_type"] for form in self.forms]

    @property
    def uses(self) -> Counter[str]:
        """The number of requests with each refresh token."""
        return Counter(form["refresh_token"] for form in self.forms if "refresh_token" in form)

    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""
        return {
            "provider": PROVIDER,
            "hosts": seic.Hosts(api="https://idp.example"),
            "client_id": "client-1",
            "client_secret": "client-secret-1",
            "grant": seic.RefreshToken(refresh_token="r0"),
        }

    def source(self, grant: Grant, clock: FakeClock | None = None, **options: Any) -> CachingTokenSource:
        """Return a source of its tokens; see `source_of`."""
        emit = options.pop("emit", lambda _event: None)
        endpoint = endpoint_of(self, clock, emit=emit, grant=grant, provider=options.pop("provider", PROVIDER))
        memory = options.pop("memory", None) or shared_memory("key", store=options.get("store"), transport=self)
        return source_of(endpoint, memory=memory, store_key=lambda _: "key", **options)

    def answer_other(self, request: httpx.Request) -> httpx.Response:
        """Describe or revoke a token."""
        return httpx.Response(200, json={"active": True, "exp": 1_700_000_600, "username": "u"})

    def answer_token(self, form: dict[str, str]) -> httpx.Response:
        """Issue a token, if the refresh token is good."""
        refresh_token = form.get("refresh_token")
        number = next(self._numbers)
        if refresh_token is None:
            family = f"family-{number}"
        elif refresh_token in self._good and self._good[refresh_token] not in self.killed:
            family = self._good[refresh_token]
        else:
            self.killed |= {self._used[refresh_token]} if refresh_token in self._used else set()
            return httpx.Response(400, json={"error": "invalid_grant", "error_description": "no such token"})
        if refresh_token is not None and self.rotates:
            self._used[refresh_token] = self._good.pop(refresh_token)
        if not self.refreshable or (refresh_token is not None and not self.rotates):
            return self.issue(access_token=f"a{number}")
        self._good[f"r{number}"] = family
        return self.issue(access_token=f"a{number}", refresh_token=f"r{number}")
