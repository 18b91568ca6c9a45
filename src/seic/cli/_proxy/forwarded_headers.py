"""Headers of forwarded requests and responses: those of one connection and those with secrets are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import urlsplit

#: Names and values as they were received.
RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

#: They belong to one connection (RFC 9110 §7.6.1).
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authentication-info proxy-authorization proxy-connection te "
    b"trailer transfer-encoding upgrade http2-settings".split()
)
#: `Host` and `Authorization` have other values for the API. `Expect` is answered here. Cookies of a browser belong to
#: each program on this machine, and `Origin` and `Referer` name this proxy.
_REQUEST_ONLY = frozenset(b"host authorization expect cookie origin referer".split())
#: Cookies would be sent to each program of this machine. `Alt-Svc` and `Strict-Transport-Security` are about another
#: host, and no page of another site may read a response.
_RESPONSE_ONLY = frozenset(b"authorization dpop set-cookie alt-svc strict-transport-security".split())
_CORS = b"access-control-"
_VIA = (b"Via", b"1.1 seic")


def request_headers(received: RawHeaders, *, user_agent: str) -> list[tuple[bytes, bytes]]:
    """Return the headers for the API, without the token.

    Args:
        received: The headers of the caller.
        user_agent: The name of a caller without one.
    """
    dropped = _HOP_BY_HOP | _REQUEST_ONLY | _connection_options(received)
    kept = [(name, value) for name, value in received if name.lower() not in dropped]
    if not any(name.lower() == b"user-agent" for name, _ in kept):
        kept.append((b"User-Agent", user_agent.encode()))
    # A gateway adds it to requests (RFC 9110 §7.6.3).
    return [*kept, _VIA]


def response_headers(
    received: RawHeaders, *, origin: str, secrets: Iterable[bytes], client_id_header: str | None
) -> list[tuple[str, str]]:
    """Return the headers for the caller.

    Args:
        received: The headers of the API.
        origin: The origin of the API; `Location` loses it, so that the caller comes back to this proxy.
        secrets: The token; a header that repeats it is dropped.
        client_id_header: The header with the client id, which is dropped.
    """
    dropped = _HOP_BY_HOP | _RESPONSE_ONLY | _connection_options(received)
    if client_id_header is not None:
        dropped |= {client_id_header.lower().encode()}
    secrets = [secret for secret in secrets if secret]
    kept: list[tuple[str, str]] = []
    for name, value in received:
        lower = name.lower()
        if lower in dropped or lower.startswith(_CORS) or any(secret in value for secret in secrets):
            continue
        text = value.decode("utf-8", "replace")
        kept.append((name.decode("ascii"), _local(text, origin) if lower == b"location" else text))
    return kept


def _connection_options(headers: RawHeaders) -> set[bytes]:
    values = [value for name, value in headers if name.lower() == b"connection"]
    return {option.strip().lower() for value in values for option in value.split(b",")}


def _local(location: str, origin: str) -> str:
    """Return a location of the API as a path; any other one unchanged."""
    try:
        parts = urlsplit(location)
        host, port = parts.hostname, parts.port
        own = urlsplit(origin)
    except ValueError:
        return location
    # A location without a scheme may name a host, too (RFC 3986 §4.2).
    scheme = parts.scheme or own.scheme
    default = {"http": 80, "https": 443}.get(scheme)
    if (scheme, host, port or default) != (own.scheme, own.hostname, own.port or default):
        return location
    path = parts.path or "/"
    # Not `//host`, which would name another host; browsers take a backslash for a slash.
    return parts._replace(scheme="", netloc="", path=f"/.{path}" if path[1:2] in ("/", "\\") else path).geturl()
