"""Incoming bearer tokens: JWTs of one issuer, validated before a handler runs (RFC 6750, 7519, 8705, 8725, 9068)."""

import base64
import dataclasses
import hmac
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Unpack

import httpx
from joserfc.errors import ClaimError, InvalidClaimError, JoseError
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.jwt import JWTClaimsRegistry
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from seic import ConfigurationError
from seic._oauth.json_body import read_document
from seic._oauth.redact import sanitize
from seic._tokens.clock import SYSTEM_CLOCK
from seic.fastapi._forwarded_certificate import ForwardedCertificate, MalformedCertificate
from seic.fastapi._jwks import ALGORITHMS, JWKSCache, JWKSOptions, JWKSUnavailable
from seic.fastapi._security_scheme import NO_SCOPES, SecurityScheme, SecurityScopes, bearer_model, require_scopes

#: RFC 6750 §2.1, with the three parts of a JWS.
_CREDENTIALS = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_MAX_TOKEN = 16 * 1024
_MAX_KID = 256
#: The `typ` of an access token: RFC 9068 §2.1, and RFC 7519 §5.1. Other JWTs of the issuer (logout tokens, for example)
#: have signatures of the same keys and must not be accepted (RFC 8725 §3.11).
_TYPES = ("at+jwt", "application/at+jwt", "jwt", "application/jwt")
_DEFAULT_ALGORITHMS = ("RS256", "PS256", "ES256", "ES384", "Ed25519")

#: Seconds between two warnings about one setting.
_WARNING_INTERVAL = 600.0
_LONGEST_SHOWN = 100
_SETTING_OF_CLAIM = {"aud": "audience", "iss": "issuer"}
#: For the developer of a client, by the claim that does not fit (RFC 6750 §3).
_DESCRIPTIONS = {
    "aud": "The token is for another audience (aud)",
    "iss": "The token is of another issuer (iss)",
    "exp": "The token has expired (exp)",
    "nbf": "The token is not valid yet (nbf)",
    "iat": "The token was issued in the future (iat)",
}

_logger = logging.getLogger("seic.fastapi")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """The claims of a valid token; `raw` has all of them. The repr shows neither the user nor `raw`.

    A handler may return it.
    """

    issuer: str
    audience: tuple[str, ...]
    expires_at: float
    subject: str | None = dataclasses.field(default=None, repr=False)
    client_id: str | None = None
    scopes: frozenset[str] = frozenset()
    thumbprint: str | None = None
    raw: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)


class _InvalidToken(Exception):
    """The reason why a token is invalid, for the log.

    Args:
        reason: The reason.
        setting: The argument of `BearerTokens` that may be wrong instead: then every token of the clients is rejected.
        description: The reason for the client's developer; it depends on the claims alone, which anybody can read.
    """

    def __init__(self, reason: str, *, setting: str | None = None, description: str | None = None) -> None:
        super().__init__(reason)
        self.setting = setting
        self.description = description


class BearerTokens(SecurityScheme):
    """A dependency that returns the claims of a request's bearer token, and responds with 401 if it is not valid.

        bearer = BearerTokens(issuer="https://idp.example", audience="accounts", jwks_url="https://idp.example/jwks")

        @app.get("/accounts")
        async def accounts(claims: Annotated[Claims, Depends(bearer)]): ...

        @app.delete("/accounts")
        async def delete(claims: Annotated[Claims, Security(bearer, scopes=["accounts:write"])]): ...

    With Starlette alone: `claims = await bearer(request)`. The response names an audience, issuer or time that does not
    fit (`error_description`), and no other reason. The log under `seic.fastapi` has each reason at INFO; one that a
    wrong setting here would have for every token is a WARNING, at most one in ten minutes for each setting.

    Args:
        issuer: The required `iss`, compared exactly.
        audience: The accepted values of `aud`; one is enough.
        jwks_url: The issuer's key set (RFC 7517); https, or http on loopback for tests.
        algorithms: The accepted signature algorithms; asymmetric ones only.
        client_certificate: The header in which the proxy forwards the client's certificate (`ClientCertHeader`,
            `NginxHeader`, `EnvoyHeader`). A certificate-bound token is accepted only with its certificate; None accepts
            no bound token, because its binding cannot be checked.
        require_bound: Accept only certificate-bound tokens (RFC 8705 §3).
        leeway: Seconds by which the issuer's clock may differ, for `exp`, `nbf` and `iat`.
        ca: The CA for `jwks_url`; None is the system's trust store.
        transport: Fetches the key set in place of the network, for tests.
        now: The wall clock, seconds since the epoch.
        cache: See `JWKSOptions`.

    Raises:
        ConfigurationError: A setting is missing, wrong or unsafe.
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
        now: Callable[[], float] = SYSTEM_CLOCK.wall,
        **cache: Unpack[JWKSOptions],
    ) -> None:
        audiences = [audience] if isinstance(audience, str) else list(audience)
        for field, value in (("issuer", issuer), ("audience", audiences and all(audiences))):
            if not value:
                raise ConfigurationError(
                    f"{field}: is missing; without it tokens for other services would be accepted", field=field
                )
        unsafe = sorted(set(algorithms) - set(ALGORITHMS))
        if unsafe or not algorithms:
            raise ConfigurationError(
                f"algorithms: {', '.join(unsafe) or 'no algorithm'} is not allowed; use {', '.join(ALGORITHMS)}",
                field="algorithms",
            )
        if require_bound and client_certificate is None:
            raise ConfigurationError(
                "client_certificate: is missing; require_bound needs the header with the client's certificate",
                field="client_certificate",
            )
        self.scheme_name: str = "BearerTokens"
        self.model: Any = bearer_model()
        self._issuer = issuer
        self._audiences = audiences
        self._algorithms = frozenset(algorithms)
        self._certificate = client_certificate
        self._require_bound = require_bound
        self._leeway = leeway
        self._now = now
        #: The time of the last warning about each setting.
        self._warned: dict[str, float] = {}
        self._keys = JWKSCache(jwks_url, ca=ca, transport=transport, **cache)
        # Unknown header parameters are ignored; `crit` is rejected (RFC 7515 §4.1.11).
        self._registry = JWSRegistry(algorithms=sorted(algorithms), strict_check_header=False)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES) -> Claims:
        """Return the claims of the token of a request or web socket.

        Args:
            connection: The request or web socket.
            security_scopes: The scopes of `Security(bearer, scopes=[...])`, which the token must have.

        Raises:
            HTTPException: 401 without a valid token, 403 if it lacks a scope, 503 if the issuer's keys are not
                available.
        """
        claims = await self._authenticate(connection)
        require_scopes(security_scopes.scopes, claims.scopes, scheme="Bearer")
        return claims

    async def _authenticate(self, connection: HTTPConnection) -> Claims:
        credentials = connection.headers.getlist("Authorization")
        if not credentials:
            raise _challenge()
        try:
            return await self._check(credentials, connection)
        except _InvalidToken as reason:
            self._report(reason)
            raise _challenge("invalid_token", reason.description) from None
        except JWKSUnavailable as error:
            raise HTTPException(503, headers={"Retry-After": str(math.ceil(error.retry_after))}) from None

    def _report(self, reason: _InvalidToken) -> None:
        now, setting = self._now(), reason.setting
        if setting is None or abs(now - self._warned.get(setting, -math.inf)) < _WARNING_INTERVAL:
            _logger.info("bearer token rejected: %s", reason)
            return
        self._warned[setting] = now
        _logger.warning(
            "bearer token rejected: %s; if the clients' tokens are right, correct BearerTokens(%s=...)", reason, setting
        )

    def requiring(self, *scopes: str) -> Callable[[HTTPConnection], Awaitable[Claims]]:
        """Return a dependency that also requires scopes, and responds with 403 if one is missing (RFC 6750 §3.1).

        For FastAPI, `Security(bearer, scopes=[...])` is the same, and shows the scopes in the OpenAPI document.
        """
        return _Requiring(self, scopes)

    async def _check(self, credentials: list[str], connection: HTTPConnection) -> Claims:
        if len(credentials) > 1 or len(credentials[0]) > _MAX_TOKEN:
            raise _InvalidToken("several Authorization headers, or one that is too long")
        match = _CREDENTIALS.fullmatch(credentials[0])
        if match is None:
            raise _InvalidToken("not a bearer token in the form of a JWT")
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
            # First: a token for another service must not cause a fetch of keys.
            self._check_claims(claims)
            key = await self._keys.find(kid, algorithm)
            if key is None:
                raise _InvalidToken("unknown key", setting="jwks_url")
            deserialize_compact(token, key.key, registry=self._registry)
        except (JoseError, ValueError) as error:
            raise _InvalidToken(str(error) or type(error).__name__) from None
        return claims

    def _check_header(self, header: Mapping[str, object]) -> tuple[str | None, str]:
        """Return `kid` and `alg`; nothing else in the header is used.

        Keys and their URLs in the header (`jwk`, `jku`, `x5c`, `x5u`) come from the sender of the token.
        """
        kid, algorithm, kind = header.get("kid"), header.get("alg"), header.get("typ", "JWT")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _InvalidToken(f"alg {_shown(algorithm)} is not accepted", setting="algorithms")
        if not isinstance(kid, str | None) or (kid is not None and not 0 < len(kid) <= _MAX_KID):
            raise _InvalidToken(f"kid is not a string of 1 to {_MAX_KID} characters")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise _InvalidToken("typ is not that of an access token")
        if "crit" in header:
            raise _InvalidToken("crit is not supported")
        return kid, algorithm

    def _check_claims(self, claims: dict[str, Any]) -> None:
        # The other claims are checked if they are present.
        required = JWTClaimsRegistry(
            now=lambda: int(self._now()),
            leeway=int(self._leeway),
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "values": self._audiences},
            exp={"essential": True},
        )
        try:
            required.validate(claims)
            if claims["iss"] != self._issuer:  # joserfc accepts a list that contains it
                raise InvalidClaimError("iss")
        except ClaimError as error:
            setting = _SETTING_OF_CLAIM.get(error.claim)
            reason = str(error)
            if setting is not None:
                expected = self._issuer if setting == "issuer" else ", ".join(self._audiences)
                reason = f"{error.claim} is {_shown(claims.get(error.claim))}, and {setting} is {expected!r}"
            raise _InvalidToken(reason, setting=setting, description=_DESCRIPTIONS.get(error.claim)) from None

    def _check_binding(self, cnf: object, connection: HTTPConnection) -> str | None:
        if cnf is None and not self._require_bound:
            return None
        bound = cnf.get("x5t#S256") if isinstance(cnf, dict) else None
        if not isinstance(bound, str):
            raise _InvalidToken("it has no certificate binding, or another kind of cnf")
        if self._certificate is None:
            raise _InvalidToken(
                "it is bound to a certificate, but client_certificate is not set", setting="client_certificate"
            )
        try:
            presented = self._certificate.thumbprint(connection.headers)
        except MalformedCertificate as error:
            raise _InvalidToken(f"the forwarded certificate cannot be read: {error}") from None
        if presented is None or not hmac.compare_digest(presented.encode(), bound.encode()):
            raise _InvalidToken("it is bound to another certificate")
        return bound


class _Requiring(SecurityScheme):
    def __init__(self, bearer: BearerTokens, scopes: tuple[str, ...]) -> None:
        self.scheme_name: str = bearer.scheme_name
        self.model: Any = bearer.model
        self._bearer = bearer
        self._scopes = scopes

    # Equal for equal scopes, so that it can be a key of `dependency_overrides`.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Requiring) and (self._bearer, self._scopes) == (other._bearer, other._scopes)

    def __hash__(self) -> int:
        return hash((self._bearer, self._scopes))

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes = NO_SCOPES) -> Claims:
        return await self._bearer(connection, SecurityScopes([*self._scopes, *security_scopes.scopes]))


def _read_part(encoded: str) -> dict[str, Any]:
    """Parse a part of a token as strictly as a provider's response: limited depth, no duplicate members."""
    try:
        return read_document(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except ValueError:
        raise _InvalidToken("header or claims are not a JSON object") from None


def _shown(value: object) -> str:
    """Return a member of a token for the log."""
    return repr(sanitize(value if isinstance(value, str) else json.dumps(value, default=str), limit=_LONGEST_SHOWN))


def _challenge(error: str | None = None, description: str | None = None) -> HTTPException:
    """Return the response of RFC 6750 §3; without an error code if the request has no token."""
    challenge = f'Bearer error="{error}"' if error else "Bearer"
    if description is not None:
        challenge += f', error_description="{description}"'
    return HTTPException(401, headers={"WWW-Authenticate": challenge})


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes: `scope` (RFC 8693 §4.2), or `scp`, as some issuers call it; a string or a list."""
    for name in ("scope", "scp"):
        value = claims.get(name)
        if isinstance(value, str):
            return frozenset(value.split())
        if isinstance(value, list):
            return frozenset(entry for entry in value if isinstance(entry, str))
    return frozenset()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
