"""`AccessCheck`: decide whether a request of this machine may be forwarded, and to which path.

A port of loopback is open to each user and each browser page of the machine. So a request needs the secret of this run,
`Host` must name loopback (a name that an attacker's DNS resolves to 127.0.0.1 is refused), and a browser must not have
sent it for another site: it would add the secret from its own store. A Unix socket has permissions instead.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence

from aiohttp import hdrs, web

from seic._model.hosts import Origin

#: The names of loopback in `Host`.
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
#: A target in absolute form (RFC 9112 §3.2.2): its authority and the rest.
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
#: `TRACE` returns the headers that the API received, and with them the token.
_REFUSED_METHODS = frozenset({hdrs.METH_CONNECT, hdrs.METH_TRACE})
#: `Sec-Fetch-Site` of requests that a user or a page of this origin made (W3C Fetch Metadata).
_OWN_SITES = frozenset({"none", "same-origin"})
_DEFAULT_PORTS = {"http": 80, "https": 443}
_CHALLENGES = ('Bearer realm="seic proxy"', 'Basic realm="seic proxy", charset="UTF-8"')


class AccessRefused(Exception):
    """A request that is not forwarded.

    Args:
        status: The status of the response.
        detail: The sentence that says why, and what to do.
        headers: Headers of the response.
    """

    def __init__(self, status: int, detail: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


class AccessCheck:
    """The check of each request.

    Args:
        origin: The origin of the API.
        secret: The secret of this run; None for a Unix socket, which has neither secret nor `Host`.
        authorities: Further values of `Host`, such as the address and port of the socket.
        port: The port of the socket.
    """

    def __init__(self, origin: Origin, *, secret: str | None, authorities: Sequence[str] = (), port: int = 0) -> None:
        self._origin = origin
        self._secret = None if secret is None else secret.encode()
        self._own = {*authorities, *(f"{name}:{port}" for name in _LOOPBACK_NAMES)}
        if port == _DEFAULT_PORTS["http"]:
            self._own |= {*_LOOPBACK_NAMES}
        self._api = {f"{_netloc(origin)}:{origin.port}"}
        if origin.port == _DEFAULT_PORTS[origin.scheme]:
            self._api.add(_netloc(origin))

    def path(self, request: web.BaseRequest) -> str:
        """Return the path and query of a request that may be forwarded.

        Raises:
            AccessRefused: It must not be forwarded.
        """
        target = _ABSOLUTE.fullmatch(request.raw_path)
        if self._secret is not None:
            hosts = request.headers.getall(hdrs.HOST, [])
            # In absolute form, the target replaces `Host` (RFC 9112 §3.2.2); a browser page cannot send it.
            if target is None and (len(hosts) != 1 or hosts[0].lower() not in self._own):
                detail = "Host is not an address of this proxy; call it by 127.0.0.1 or localhost, with its port"
                raise AccessRefused(421, detail)
            self._check_site(request.headers)
            self._check_secret(request.headers.getall(hdrs.AUTHORIZATION, []))
        # httpx sends each method in upper case, and HTTP/2 takes any.
        if request.method.upper() in _REFUSED_METHODS:
            detail = f"{request.method} is not forwarded; send the request itself to this proxy, over plain HTTP"
            raise AccessRefused(405, detail)
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            raise AccessRefused(
                501, "WebSocket connections are not forwarded; use seic's own headers and context for them"
            )
        codings = request.headers.getall(hdrs.TRANSFER_ENCODING, [])
        if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
            raise AccessRefused(501, "Transfer-Encoding must be chunked, and nothing else")
        return self._path(request.raw_path, target)

    def _path(self, raw: str, target: re.Match[str] | None) -> str:
        if target is not None:
            if target[1].lower() not in self._own | self._api:
                detail = (
                    f"{target[1][:100]!r} is not {self._origin}, the only host that this proxy calls; start another "
                    "proxy for another host"
                )
                raise AccessRefused(421, detail)
            rest = target[2]
            return rest if rest.startswith("/") else f"/{rest}"
        if raw.startswith("/"):
            return raw
        raise AccessRefused(400, f"the target must be a path of {self._origin}, such as /v1/accounts")

    def _check_site(self, headers: Mapping[str, str]) -> None:
        origin, site = headers.get(hdrs.ORIGIN), headers.get("Sec-Fetch-Site")
        is_own = origin is None or origin.lower() in {f"http://{own}" for own in self._own}
        if not is_own or not (site is None or site.lower() in _OWN_SITES):
            raise AccessRefused(403, "a page of another web site sent this request; only programs and own pages may")

    def _check_secret(self, values: Sequence[str]) -> None:
        given = _secret_of(values[0]) if len(values) == 1 else b""
        if not hmac.compare_digest(given, self._secret or b""):
            raise AccessRefused(
                401,
                "the secret of this run is missing or wrong; send Authorization: Bearer with it, or Basic with it as "
                "the password",
                [(hdrs.WWW_AUTHENTICATE, challenge) for challenge in _CHALLENGES],
            )


def _secret_of(value: str) -> bytes:
    """Return the secret in a value of `Authorization`: a bearer token, or the password of any user (RFC 7617)."""
    scheme, _, credentials = value.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""


def _netloc(origin: Origin) -> str:
    return f"[{origin.host}]" if ":" in origin.host else origin.host
