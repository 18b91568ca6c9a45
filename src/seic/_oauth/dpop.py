"""DPoP (RFC 9449): tokens that are bound to a key, and the proof of each request. Needs the extra `jose`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import httpx

from seic._errors import InvalidTokenResponse
from seic._model.secret import Unpicklable, hide, strip_frames_on_init
from seic._oauth.form_request import is_header_safe
from seic._oauth.jose import KeyMaterial, SigningKey, new_key, read_key
from seic._oauth.json_body import JsonBodyError, read_document
from seic._oauth.jwt import claims_of
from seic._public import publish
from seic._values import frozen

#: The error with which a server requires a nonce, at the token endpoint (§8) and at the API (§9).
USE_NONCE = "use_dpop_nonce"

# Each proof repeats the nonce; a longer one is ignored.
_LONGEST_NONCE = 1024


def _make_key(dpop: DPoP) -> SigningKey:
    if dpop.key is None:
        return new_key()
    return read_key(dpop.key, field="dpop.key", password=dpop.password, algorithm=dpop.algorithm)


@strip_frames_on_init
@frozen(kw_only=True, eq=False)
class DPoP(Unpicklable):
    """The key that a client's tokens are bound to, and the nonces of servers.

    Args:
        key: The private key: a path, PEM, or DER as bytes. None generates one for the lifetime of this object; the next
            process cannot use stored tokens then.
        password: The passphrase of the key.
        algorithm: The signature algorithm; None is the key's own.

    Raises:
        ConfigurationError: The key cannot be used, or the extra `jose` is missing.
    """

    key: KeyMaterial | None = attrs.field(default=None, repr=hide)
    password: str | None = attrs.field(default=None, repr=hide)
    algorithm: str | None = None
    _signing: SigningKey = attrs.field(init=False, repr=False, default=attrs.Factory(_make_key, takes_self=True))
    # The nonce of each server, for its token endpoint and its API separately (§8.2). Setting an item is atomic.
    _nonces: dict[tuple[str, bool], str] = attrs.field(init=False, repr=False, factory=dict)

    @property
    def thumbprint(self) -> str:
        """The public key's thumbprint, as a bound token carries it (`jkt`, §6.1)."""
        return self._signing.thumbprint

    def prove(self, method: str, url: Any, *, now: float, access_token: str | None = None) -> str:
        """Return the proof for one request (§4.2).

        Args:
            method: The request's method.
            url: Its URL, of httpx or httpx2; query and fragment are left out.
            now: Seconds since the epoch.
            access_token: The token of an API request; None for a token request.
        """
        import uuid

        claims: dict[str, Any] = {
            "jti": str(uuid.uuid4()),
            "htm": method,
            "htu": str(url.copy_with(query=None, fragment=None)),
            "iat": int(now),
        }
        if access_token is not None:
            digest = hashlib.sha256(access_token.encode("ascii")).digest()
            claims["ath"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
        nonce = self._nonces.get((_origin(url), access_token is not None))
        if nonce is not None:
            claims["nonce"] = nonce
        return self._signing.sign(claims, typ="dpop+jwt", jwk=self._signing.public)

    def remember_nonce(self, request: Any, headers: Any, *, api: bool) -> bool:
        """Remember the nonce of a response, if it has one; return whether it differs from the request's.

        It is compared with the request's own nonce, not with the remembered one: of two simultaneous requests that need
        a nonce, the second finds it remembered.

        Args:
            request: The request.
            headers: The response's headers.
            api: True for an API request, False for a token request.
        """
        nonce = headers.get("DPoP-Nonce")
        if nonce is None or not _is_nonce(nonce):
            return False
        self._nonces[(_origin(request.url), api)] = nonce
        sent = claims_of(request.headers.get("DPoP", "")) or {}
        return bool(sent.get("nonce") != nonce)

    def check(self, access_token: str, token_type: str, *, host: str) -> None:
        """Refuse a token that is not bound to this key.

        Args:
            access_token: The token.
            token_type: Its type, as the provider wrote it.
            host: The host that it came from, for messages.

        Raises:
            InvalidTokenResponse: It is a bearer token, or bound to another key.
        """
        if token_type.lower() != "dpop":
            raise InvalidTokenResponse(
                f"{host} answered with a token that is not bound to a key: its type is not DPoP (RFC 9449 §5); leave "
                "dpop out of the configuration if the provider does not support it",
                problem="token_type",
            )
        confirmation = (claims_of(access_token) or {}).get("cnf")
        bound_to = confirmation.get("jkt") if isinstance(confirmation, dict) else None
        if bound_to not in (None, self.thumbprint):
            raise InvalidTokenResponse(
                f"{host} answered with a token that is bound to another key (RFC 9449 §6.1)", problem="cnf"
            )


def known_nonces(dpop: DPoP) -> dict[str, str]:
    """Return the last nonce of each server, for other processes with the same key."""
    return {f"{'api' if is_api else 'token'} {origin}": nonce for (origin, is_api), nonce in dpop._nonces.items()}  # noqa: SLF001


def add_nonces(dpop: DPoP, nonces: object) -> None:
    """Take the nonces of another process, from an entry that anyone may have written; own ones are newer."""
    for name, nonce in nonces.items() if isinstance(nonces, Mapping) else ():
        kind, _, origin = str(name).partition(" ")
        if isinstance(nonce, str) and _is_nonce(nonce):
            dpop._nonces.setdefault((origin, kind == "api"), nonce)  # noqa: SLF001


def _is_nonce(text: str) -> bool:
    return len(text) <= _LONGEST_NONCE and is_header_safe(text)


def wants_nonce(*, status: int, headers: httpx.Headers, body: bytes = b"") -> bool:
    """Whether a response requires the request to be sent again with its nonce (§8, §9).

    Args:
        status: The HTTP status.
        headers: The headers.
        body: The body of a token response; an API requires it in a challenge.
    """
    if status == httpx.codes.UNAUTHORIZED:
        from seic._oauth.challenges import parse_challenges

        challenges = parse_challenges(headers.get_list("WWW-Authenticate"))
        if any(one.scheme == "dpop" and one.parameters.get("error") == USE_NONCE for one in challenges):
            return True
    try:
        return read_document(body).get("error") == USE_NONCE
    except JsonBodyError:
        return False


def _origin(url: Any) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


publish("seic", ["DPoP"], globals())
