"""Counts of connections, requests and tokens at each host."""

from __future__ import annotations

import collections
import threading
from typing import Literal, TypeAlias

import attrs

HostName: TypeAlias = Literal["api", "mtls"]
CountName: TypeAlias = Literal[
    "connections",
    "token_requests",
    "tokens_issued",
    "tokens_invalidated",
    "token_refusals",
    "token_faults",
    "login_requests",
    "revocation_requests",
    "info_requests",
    "api_calls",
    "api_refusals",
    "api_faults",
]


@attrs.frozen(kw_only=True)
class HostCounts:
    """The counts of one host since the start.

    Args:
        connections: Completed TLS handshakes; behind a proxy, TCP connections, all counted at the api host.
        token_requests: Requests to a token endpoint, of every grant type and outcome, counted on arrival.
        tokens_issued: Token requests that got a token.
        tokens_invalidated: Successful revocations, at the gateway's token endpoint or a revocation endpoint.
        token_refusals: Token requests that broke a rule.
        token_faults: Token requests answered with a planned fault.
        login_requests: Requests for the login pages.
        revocation_requests: Requests to a revocation endpoint.
        info_requests: Requests for tokeninfo, introspection, metadata or keys.
        api_calls: All other requests, of every outcome, counted on arrival.
        api_refusals: API requests answered with 401 or 403.
        api_faults: API requests answered with a planned fault.
    """

    connections: int = 0
    token_requests: int = 0
    tokens_issued: int = 0
    tokens_invalidated: int = 0
    token_refusals: int = 0
    token_faults: int = 0
    login_requests: int = 0
    revocation_requests: int = 0
    info_requests: int = 0
    api_calls: int = 0
    api_refusals: int = 0
    api_faults: int = 0


@attrs.frozen(kw_only=True)
class Counts(HostCounts):
    """The sums over both hosts, and the counts of each; behind a proxy, a request with a certificate is `mtls`."""

    api: HostCounts
    mtls: HostCounts


class RequestCounter:
    """Counts from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards _hosts
        self._hosts: dict[HostName, collections.Counter[str]] = {
            "api": collections.Counter(),
            "mtls": collections.Counter(),
        }

    def add(self, host: HostName, name: CountName) -> None:
        """Add one to a count."""
        with self._lock:
            self._hosts[host][name] += 1

    def snapshot(self) -> Counts:
        """Return the counts at one moment."""
        with self._lock:
            api, mtls = self._hosts["api"].copy(), self._hosts["mtls"].copy()
        return Counts(api=HostCounts(**api), mtls=HostCounts(**mtls), **(api + mtls))
