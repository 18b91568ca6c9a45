"""`MockIssuer`: an issuer of JWTs in memory, with keys that rotate, valid and invalid tokens, and a key set."""

from __future__ import annotations

from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from seic._concurrency import SharedFuture
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic.testing._mock_token_endpoint import PATIENCE

_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}


class MockIssuer:
    """An issuer of JWT access tokens (RFC 9068) in memory, for tests of `BearerTokens`; it needs the extra `jose`.

        bearer = BearerTokens(**issuer.settings())
        headers = {"Authorization": f"Bearer {issuer.token(sub='user-1', exp=0)}"}

    Args:
        url: Its URL, the claim `iss`.
        audience: The claim `aud`.
        key: The private key that signs; by default a new one of the curve P-256.
        clock: The clock of `iat` and `exp`; the fixture `seic_clock` moves the default one.

    Attributes:
        url: Its URL.
        audience: The claim `aud`.
        jwks_url: The URL of the key set.
        key: The key that signs.
        published: The key set; change it for a key that is missing or invalid.
        key_set_requests: The number of requests for the key set.
        response: The response, or the exception, in place of the key set; None for the key set.
    """

    def __init__(
        self,
        *,
        url: str = "https://idp.example",
        audience: str = "accounts",
        key: RSAKey | ECKey | OKPKey | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.url = url
        self.audience = audience
        self.jwks_url: str = f"{url}/jwks"
        self.key: RSAKey | ECKey | OKPKey = key or ECKey.generate_key("P-256", {"kid": "key-1"})
        self.published: list[dict[str, Any]] = [self.public(self.key)]
        self.key_set_requests: int = 0
        self.response: httpx.Response | Exception | None = None
        self._clock = clock
        self._held: SharedFuture[None] | None = None
        self._arrived: SharedFuture[None] = SharedFuture()

    def settings(self) -> dict[str, Any]:
        """Return the arguments of `BearerTokens` for its tokens; its key set is requested in memory."""
        return {
            "issuer": self.url,
            "audience": self.audience,
            "jwks_url": self.jwks_url,
            "transport": self.transport,
            "now": self._clock.wall,
        }

    @staticmethod
    def public(key: RSAKey | ECKey | OKPKey, **members: Any) -> dict[str, Any]:
        """Return a public key as it is published, with further members."""
        return {**key.as_dict(private=False), **members}

    def rotate(self, kid: str, *, keep: bool = True) -> None:
        """Sign with a new key from now on, and publish it.

        Args:
            kid: The id of the key.
            keep: Whether the keys before stay published.
        """
        self.key = ECKey.generate_key("P-256", {"kid": kid})
        self.published = [*(self.published if keep else []), self.public(self.key)]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token of five minutes.

        Args:
            changes: They replace claims; None removes one.
        """
        now = int(self._clock.wall())
        claims: dict[str, Any] = {
            "iss": self.url,
            "aud": self.audience,
            "sub": "user-1",
            "client_id": "client-1",
            "scope": "read write",
            "iat": now - 10,
            "exp": now + 300,
        }
        return {name: value for name, value in {**claims, **changes}.items() if value is not None}

    def token(
        self,
        *,
        header: dict[str, Any] | None = None,
        key: RSAKey | ECKey | OKPKey | OctKey | None = None,
        **changes: Any,
    ) -> str:
        """Return a signed token.

        Args:
            header: Changes of its header; None removes a parameter.
            key: The key that signs; by default the issuer's own.
            changes: Changes of its claims, such as `cnf={"x5t#S256": thumbprint}` for a certificate (RFC 8705 §3.1).
        """
        signer = key or self.key
        whole = {"alg": _ALGORITHMS[signer.key_type], "typ": "at+jwt", "kid": self.key.kid, **(header or {})}
        whole = {name: value for name, value in whole.items() if value is not None}
        registry = JWSRegistry(algorithms=[whole["alg"]], strict_check_header=False)
        return jwt.encode(whole, self.claims(**changes), signer, registry=registry)

    def hold_keys(self) -> None:
        """Let requests for the key set wait until `release_keys`, for at most ten seconds."""
        self._held, self._arrived = SharedFuture(), SharedFuture()

    def release_keys(self) -> None:
        """Let them continue."""
        held, self._held = self._held, None
        if held is not None:
            held.set_result(None)

    async def wait_for_key_request(self, seconds: float = PATIENCE) -> bool:
        """Wait for the first request for the key set since `hold_keys`; return whether it came in time."""
        return await self._arrived.wait(seconds)

    @property
    def transport(self) -> httpx.MockTransport:
        """The transport for requests of the key set."""
        return httpx.MockTransport(self._answer)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        if (request.method, str(request.url)) != ("GET", self.jwks_url):
            raise AssertionError(f"{request.method} {request.url}: only GET {self.jwks_url} is expected")
        self.key_set_requests += 1
        held = self._held
        if not self._arrived.done():
            self._arrived.set_result(None)
        if held is not None and not await held.wait(PATIENCE):
            raise AssertionError(f"a request for the key set waited {PATIENCE:g} seconds for release_keys")
        if isinstance(self.response, Exception):
            raise self.response
        return self.response or httpx.Response(200, json={"keys": self.published})
