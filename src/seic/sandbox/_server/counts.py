"""What the sandbox counted: a snapshot for those who ask, and the counter behind it."""

from __future__ import annotations

import collections
import threading
from typing import Literal, TypeAlias

import attrs

HostName: TypeAlias = Literal["api", "mtls"]
Counted: TypeAlias = Literal[
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
]


@attrs.frozen(kw_only=True)
class HostCounts:
    """What one host has seen since the start.

    Args:
        connections: Finished TLS handshakes (TCP connections behind a proxy, all counted as the api host's).
        token_requests: Calls of a token endpoint, of every grant type and outcome; counted as they arrive.
        tokens_issued: Token calls that got a token.
        tokens_invalidated: Calls of the gateway's token endpoint, or of a revocation endpoint, that were promised a
            token's death.
        token_refusals: Token calls that broke a rule.
        token_faults: Token calls that were answered by a fault planned with `fail_tokens`.
        login_requests: Calls of the pages that a login takes.
        revocation_requests: Calls of a revocation endpoint.
        info_requests: Calls that ask about a token or about the provider: tokeninfo, introspection, metadata, keys.
        api_calls: All other calls, whatever their outcome; counted as they arrive.
        api_refusals: API calls turned away with 401 or 403.
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


@attrs.frozen(kw_only=True)
class Counts(HostCounts):
    """A snapshot: the sums over both hosts, and each host's own. Behind a proxy a call with a certificate is `mtls`."""

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

    def add(self, host: HostName, counted: Counted) -> None:
        """Count one more."""
        with self._lock:
            self._hosts[host][counted] += 1

    def snapshot(self) -> Counts:
        """Return the counts of this moment, consistent among themselves."""
        with self._lock:
            api, mtls = self._hosts["api"].copy(), self._hosts["mtls"].copy()
        return Counts(api=HostCounts(**api), mtls=HostCounts(**mtls), **(api + mtls))
