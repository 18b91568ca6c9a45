"""Incoming bearer tokens: JWTs of one issuer, checked before a handler runs (RFC 6750, 7519, 8705, 8725, 9068)."""

from __future__ import annotations

import base64
import hmac
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import httpx
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.jwt import JWTClaimsRegistry
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from seic._errors import ConfigurationError
from seic._model.hosts import Origin
from seic._oauth.json_body import read_document
from seic.fastapi._forwarded_certificate import ForwardedCertificate, MalformedCertificate
from seic.fastapi._jwks import ALGORITHMS, JWKSCache, JWKSUnavailable

#: RFC 6750 §2.1, with the three parts of a JWS; far above what any header may hold is refused before it is read.
_CREDENTIALS = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_LONGEST_TOKEN = 16 * 1024
_LONGEST_KID = 256
#: What an access token may call itself: RFC 9068 §2.1, and RFC 7519 §5.1. Other JWTs of the issuer (a logout token, a
#: DPoP proof) are signed by the same keys and must not pass for one (RFC 8725 §3.11).
_TYPES = ("at+jwt", "application/at+jwt", "jwt", "application/jwt")
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "Ed25519")

_logger = logging.getLogger("seic.fastapi")


@attrs.frozen(kw_only=True)
class Claims:
    """What a checked token says; `raw` has every claim. A repr shows neither person nor claims."""

    issuer: str
    audience: tuple[str, ...]
    expires_at: float
    subject: str | None = attrs.field(default=None, repr=False)
    client_id: str | None = None
    scopes: frozenset[str] = frozenset()
    thumbprint: str | None = None
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)


if TYPE_CHECKING:
    _Scheme = object
else:
    try:
        from fastapi.openapi.models import HTTPBearer
        from fastapi.security.base import SecurityBase
    except ModuleNotFoundError:
        _Scheme = object
    else:

        class _Scheme(SecurityBase):
            """What shows in FastAPI's documentation pages."""

            scheme_name = "BearerTokens"
            model = HTTPBearer(bearerFormat="JWT")


class _Refused(Exception):
    """Why a token is not taken; for the log."""


class BearerTokens(_Scheme):
    """A dependency that gives the claims of a request's bearer token, and answers 401 where there is no good one.

        bearer = BearerTokens(issuer="https://idp.example", audience="accounts", jwks_url="https://idp.example/jwks")

        @app.get("/accounts")
        async def accounts(claims: Annotated[Claims, Depends(bearer)]): ...

    Under Starlette alone, `claims = await bearer(request)`. The answer never says what was wrong with a token; the log
    does, at INFO under `seic.fastapi`.

    Args:
        issuer: The `iss` of every token, letter by letter.
        audience: What `aud` has to hold one of.
        jwks_url: Where the issuer publishes its keys; https, or http on loopback for tests.
        algorithms: What tokens may be signed with; asymmetric ones only.
        client_certificate: Where the proxy in front puts the client's certificate (`ClientCertHeader`, `NginxHeader`,
            `EnvoyHeader`); a token that is bound to a certificate is taken only from who presents that one. None takes
            no bound token at all, since its binding could not be checked.
        require_bound: Take only tokens that are bound to a certificate (RFC 8705 §3).
        leeway: Seconds by which the issuer's clock may differ: a token counts as valid that much before `nbf` and
            `iat`, and after `exp`.
        ca: Whom to trust for `jwks_url`; None is the system's trust.
        transport: What carries the fetch of the keys in place of the network, for tests.
        now: The wall clock, seconds since the epoch.
        cache: Keywords of `JWKSCache`.

    Raises:
        ConfigurationError: A setting makes no sense, or is not safe.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Collection[str],
        jwks_url: str,
        algorithms: Collection[str] = _DEFAULT_ALGORITHMS,
        client_certificate: ForwardedCertificate | None = None,
        require_bound: bool = False,
        leeway: float = 30.0,
        ca: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.time,
        **cache: Any,
    ) -> None:
        audiences = [audience] if isinstance(audience, str) else list(audience)
        for field, value in (("issuer", issuer), ("audience", audiences and all(audiences))):
            if not value:
                raise ConfigurationError(f"{field}: is needed, or tokens for others would do", field=field)
        unsafe = sorted(set(algorithms) - set(ALGORITHMS))
        if unsafe or not algorithms:
            raise ConfigurationError(
                f"algorithms: {', '.join(unsafe) or 'none'} cannot be taken; safe are {', '.join(ALGORITHMS)}",
                field="algorithms",
            )
        if require_bound and client_certificate is None:
            raise ConfigurationError(
                "client_certificate: require_bound needs to know which header has the certificate",
                field="client_certificate",
            )
        _check_url(jwks_url)
        self._issuer = issuer
        self._audiences = audiences
        self._algorithms = frozenset(algorithms)
        self._certificate = client_certificate
        self._require_bound = require_bound
        self._leeway = leeway
        self._now = now
        self._keys = JWKSCache(jwks_url, ca=ca, transport=transport, **cache)
        # Unknown header parameters are the issuer's own; `crit` is refused all the same (RFC 7515 §4.1.11).
        self._registry = JWSRegistry(algorithms=sorted(algorithms), strict_check_header=False)

    async def __call__(self, connection: HTTPConnection) -> Claims:
        """Return the claims of the token that a request or web socket carries.

        Raises:
            HTTPException: 401 where there is no good token, 503 where the issuer's keys cannot be had.
        """
        credentials = connection.headers.getlist("Authorization")
        if not credentials:
            raise _challenge()
        try:
            return await self._check(credentials, connection)
        except _Refused as reason:
            _logger.info("a bearer token was refused: %s", reason)
            raise _challenge("invalid_token") from None
        except JWKSUnavailable as error:
            raise HTTPException(503, headers={"Retry-After": str(math.ceil(error.retry_after))}) from None

    def requiring(self, *scopes: str) -> Callable[[HTTPConnection], Awaitable[Claims]]:
        """Return a dependency that also demands scopes, and answers 403 where one is missing (RFC 6750 §3.1)."""
        return _Requiring(self, scopes)

    async def _check(self, credentials: list[str], connection: HTTPConnection) -> Claims:
        if len(credentials) > 1 or len(credentials[0]) > _LONGEST_TOKEN:
            raise _Refused("more than one header, or one that is too long")
        match = _CREDENTIALS.fullmatch(credentials[0])
        if match is None:
            raise _Refused("it is no bearer token in the form of a JWT")
        claims = await self._verify(match[1])
        thumbprint = self._check_binding(claims.get("cnf"), connection)
        audience = claims["aud"]
        return Claims(
            issuer=claims["iss"],
            audience=(audience,) if isinstance(audience, str) else tuple(audience),
            expires_at=claims["exp"],
            subject=_text(claims.get("sub")),
            client_id=_text(claims.get("client_id")) or _text(claims.get("azp")),
            scopes=_scopes(claims),
            thumbprint=thumbprint,
            raw=claims,
        )

    async def _verify(self, token: str) -> dict[str, Any]:
        try:
            header, claims = (_read_part(part) for part in token.split(".")[:2])
            kid, algorithm = self._check_header(header)
            # Before the key is looked for: a token that is not for here has none fetched.
            self._check_claims(claims)
            key = await self._keys.find(kid, algorithm)
            if key is None:
                raise _Refused("the issuer has no such key")
            deserialize_compact(token, key.key, registry=self._registry)
        except (JoseError, ValueError) as error:
            raise _Refused(str(error) or type(error).__name__) from None
        return claims

    def _check_header(self, header: Mapping[str, object]) -> tuple[str | None, str]:
        """Return which key and algorithm the token names; nothing else in the header is believed.

        A key or a URL of one in the header (`jwk`, `jku`, `x5c`, `x5u`) is whoever's made the token.
        """
        kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _Refused("its algorithm is not among those that are taken")
        if not isinstance(kid, str | None) or (kid is not None and not 0 < len(kid) <= _LONGEST_KID):
            raise _Refused("its kid is no text of a usable length")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise _Refused("it is a JWT of another type")
        if "crit" in header:
            raise _Refused("it demands an extension that is not understood")
        return kid, algorithm

    def _check_claims(self, claims: dict[str, Any]) -> None:
        # What decides something has to be there; the rest is checked where it is.
        demands = JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=int(self._leeway),
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "values": self._audiences},
            exp={"essential": True},
        )
        demands.validate(claims)
        if claims["iss"] != self._issuer:  # a list that holds it is another issuer's
            raise _Refused("it is of another issuer")

    def _check_binding(self, cnf: object, connection: HTTPConnection) -> str | None:
        if cnf is None and not self._require_bound:
            return None
        bound = cnf.get("x5t#S256") if isinstance(cnf, dict) else None
        if not isinstance(bound, str):
            raise _Refused("it is bound to no certificate, or to something else that cannot be checked here")
        if self._certificate is None:
            raise _Refused("it is bound to a certificate, and no client_certificate is set to compare it with")
        try:
            presented = self._certificate.thumbprint(connection.headers)
        except MalformedCertificate as error:
            raise _Refused(f"the forwarded certificate is unusable: {error}") from None
        if presented is None or not hmac.compare_digest(presented.encode(), bound.encode()):
            raise _Refused("it is bound to another certificate than the client presented")
        return bound


class _Requiring(_Scheme):
    def __init__(self, bearer: BearerTokens, scopes: tuple[str, ...]) -> None:
        self._bearer = bearer
        self._scopes = scopes

    async def __call__(self, connection: HTTPConnection) -> Claims:
        claims = await self._bearer(connection)
        if not claims.scopes.issuperset(self._scopes):
            raise _challenge("insufficient_scope", status=403, scope=" ".join(self._scopes))
        return claims


def _read_part(encoded: str) -> dict[str, Any]:
    """Read a part of a token as strictly as a provider's reply: bounded in depth, no member twice."""
    try:
        return read_document(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        raise _Refused("its header or its claims are no JSON object that can be read") from None


def _check_url(url: str) -> None:
    scheme, _, rest = url.partition("://")
    Origin.parse(f"{scheme}://{rest.partition('/')[0]}", field="jwks_url", allow_http_on_loopback=True)


def _challenge(error: str | None = None, *, status: int = 401, scope: str | None = None) -> HTTPException:
    """Return the answer of RFC 6750 §3; a request without a token is told no error."""
    attributes = [f'error="{error}"'] if error else []
    if scope is not None:
        attributes.append(f'scope="{scope}"')
    challenge = " ".join(filter(None, ("Bearer", ", ".join(attributes))))
    return HTTPException(status, headers={"WWW-Authenticate": challenge})


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes: `scope` as RFC 8693 §4.2 has it, or `scp` as a list or a text, as some issuers write it."""
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            return frozenset(value.split())
        if isinstance(value, list):
            return frozenset(entry for entry in value if isinstance(entry, str))
    return frozenset()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
