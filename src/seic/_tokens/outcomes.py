"""How token requests end: the words in which events name it, and what it says of what was sent."""

from __future__ import annotations

import httpx

from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.backoff import is_refusal
from seic._tokens.spending import Fate

_FAILURES: dict[type[SeicError], str] = {
    TokenRequestRefused: "refused",
    TokenEndpointUnavailable: "unavailable",
    InvalidTokenResponse: "invalid",
}

#: Answers to a grant that was looked at; any other 4xx says that the endpoint is another.
_OF_THE_GRANT = frozenset({400, 401, 403})
#: Errors of what proves the client: the grant was not looked at.
_OF_THE_CLIENT = frozenset({"invalid_client", "invalid_dpop_proof", "use_dpop_nonce"})
#: Answers that a server gives before it looks at what it was sent.
_UNREAD = frozenset({408, 429, 503})
#: Failures before the request went out.
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


def name_failure(error: SeicError) -> str:
    """Return `refused`, `unavailable`, `invalid`, or `failed` for anything else, such as an unusable certificate."""
    return next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "failed")


def name_class(error: BaseException) -> str:
    """Return the class of an error by its public name, as `httpx.ConnectTimeout`: a connection's own before ours."""
    if isinstance(error, TokenEndpointUnavailable) and error.__cause__ is not None:
        error = error.__cause__
    kind = type(error)
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


def fate_after(error: SeicError) -> Fate:
    """Return what has become of a refresh token or a code whose request failed."""
    if isinstance(error, TokenRequestRefused):
        refused = is_refusal(error) and error.code not in _OF_THE_CLIENT and error.status in _OF_THE_GRANT
        return Fate.SPENT if refused else Fate.UNSPENT
    if isinstance(error, TokenEndpointUnavailable):
        unsent = error.status in _UNREAD or isinstance(error.__cause__, _UNSENT)
        return Fate.UNSPENT if unsent else Fate.IN_DOUBT
    # What is no token may have stood in a token's place; anything else failed before there was a connection.
    return Fate.IN_DOUBT if isinstance(error, InvalidTokenResponse) else Fate.UNSPENT
