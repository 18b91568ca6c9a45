"""The key set of an issuer (RFC 7517), cached, and fetched again when a token names a new key.

Only public signing keys of known types are accepted. Each is bound to the algorithms of its type, so that the header of
a token cannot choose another use of a key.
"""

from __future__ import annotations

import base64
import enum
import logging
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, Unpack

import attrs
import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from seic import SeicError
from seic._concurrency import SharedFuture, SingleFlight
from seic._identity import shared_identity
from seic._network.proxies import Network
from seic._network.transport_factory import TransportFactory
from seic._oauth.json_body import JsonBodyError, read_document
from seic._oauth.reply import Reply
from seic._portal import BackgroundTask, start
from seic._tokens.clock import SYSTEM_CLOCK
from seic._tokens.exchange import exchange, in_two_attempts

#: The key type and curve of each algorithm. All are asymmetric: with a shared secret, every service that validates
#: tokens could also issue them (RFC 8725 §3.1).
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
    # Replaced by Ed25519 in RFC 9864, but still in use.
    "EdDSA": ("OKP", "Ed25519"),
}
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_KEY_TYPES: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
#: RFC 7518 §3.3.
_MIN_RSA_BYTES = 256
_MAX_KEYS = 100
#: Lifetimes for which old keys are used while no new ones can be fetched.
_MAX_LIFETIMES = 24
_OK = 200

_logger = logging.getLogger("seic.fastapi")


class JWKSOptions(TypedDict, total=False):
    """Timing of the key set's cache.

    Attributes:
        lifetime: Seconds after which the key set is fetched again; it is used for 24 times as long if that fails.
        pause: Minimal seconds between two fetches for the same reason: age, or an unknown key.
        timeout: Seconds for one fetch in total.
        monotonic: The clock, for tests.
    """

    lifetime: float
    pause: float
    timeout: float
    monotonic: Callable[[], float]


class JWKSUnavailable(Exception):
    """The key set could not be fetched, and there is no old one; `retry_after` is seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the key set could not be fetched")
        self.retry_after = retry_after


@attrs.frozen
class VerificationKey:
    """A public key of an issuer."""

    kid: str | None
    algorithm: str | None
    key_type: str
    curve: str | None
    key: RSAKey | ECKey | OKPKey = attrs.field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether this key can verify that algorithm."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        return ALGORITHMS.get(algorithm) == (self.key_type, self.curve)


def parse_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Return the usable keys of a key set; keys of other types or uses are ignored (RFC 7517 §5).

    Raises:
        JsonBodyError: It is not a key set, or has no usable key.
    """
    keys = read_document(body).get("keys")
    if not isinstance(keys, list):
        raise JsonBodyError("keys is not a list")
    read = (_parse_key(entry) for entry in keys[:_MAX_KEYS] if isinstance(entry, dict))
    usable = tuple(key for key in read if key is not None)
    if not usable:
        # Probably a mistake of the issuer; an empty key set would reject every token.
        raise JsonBodyError("the key set has no usable key")
    return usable


def _parse_key(entry: dict[str, Any]) -> VerificationKey | None:
    key_type, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if not isinstance(key_type, str) or key_type not in _KEY_TYPES or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    # The public members only: a private key published by mistake is not loaded.
    members = {name: value for name in _PUBLIC_MEMBERS[key_type] if isinstance(value := entry.get(name), str)}
    if len(members) < len(_PUBLIC_MEMBERS[key_type]) or (key_type, members.get("crv")) not in ALGORITHMS.values():
        return None
    if key_type == "RSA" and _modulus_bytes(members["n"]) < _MIN_RSA_BYTES:
        return None
    try:
        key = _KEY_TYPES[key_type].import_key({**members})
    except (JoseError, ValueError):
        return None
    return VerificationKey(kid, algorithm, key_type, members.get("crv"), key)


def _modulus_bytes(encoded: str) -> int:
    try:
        return len(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).lstrip(b"\0"))
    except ValueError:
        return 0


class _FetchReason(enum.Enum):
    """The reason for a fetch."""

    AGE = enum.auto()
    UNKNOWN_KEY = enum.auto()


class JWKSCache:
    """The key set of a URL: one fetch at a time, shared by all callers.

    Old keys are refreshed in the background. They are used for a day at most if no new ones can be fetched. Tokens with
    unknown keys cause one fetch per `pause` at most; it brings all keys, so a new key is known within a pause.

    Args:
        url: The address of the key set.
        ca: The CA for it; None is the system's trust store.
        transport: Fetches the key set in place of the network, for tests.
        options: See `JWKSOptions`.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Unpack[JWKSOptions],
    ) -> None:
        self._url = url
        # Without client certificate and token: a key set is public.
        transports = TransportFactory(
            url,
            identity=shared_identity(None, ca=ca),
            network=Network(),
            transport=transport,
            field="jwks_url",
        )
        self._transports = transports
        self._lifetime = options.get("lifetime", 3600.0)
        self._pause = options.get("pause", 30.0)
        self._timeout = options.get("timeout", 10.0)
        self._monotonic = options.get("monotonic", SYSTEM_CLOCK.monotonic)
        self._keys: tuple[VerificationKey, ...] | None = None
        self._fetched_at = float("-inf")
        # By reason, so that tokens with unknown keys do not delay a refresh, nor a refresh the fetch of a new key.
        self._tried_at = dict.fromkeys(_FetchReason, float("-inf"))
        self._fetch: SingleFlight[BackgroundTask[None]] = SingleFlight()

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for the header of a token, or None if the issuer has no such key.

        Without `kid` there has to be exactly one key for the algorithm.

        Raises:
            JWKSUnavailable: The key set could not be fetched, and there is no old one.
        """
        age = self._monotonic() - self._fetched_at
        if age >= self._lifetime * _MAX_LIFETIMES:
            self._keys = None
        found = self._select(kid, algorithm)
        if found is not None and age >= self._lifetime:
            self._start_fetch(_FetchReason.AGE)
        reason = _FetchReason.AGE if self._keys is None else _FetchReason.UNKNOWN_KEY
        if found is None and (pending := self._start_fetch(reason)) is not None:
            await pending.wait()
            found = self._select(kid, algorithm)
        if self._keys is None:
            raise JWKSUnavailable(max(1.0, self._tried_at[_FetchReason.AGE] + self._pause - self._monotonic()))
        return found

    def _select(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        fitting = [key for key in self._keys or () if key.fits(algorithm) and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _start_fetch(self, reason: _FetchReason) -> SharedFuture[None] | None:
        """Return the pending fetch, or start one; None during the pause after the last."""
        if (pending := self._fetch.pending) is not None:
            return pending.future
        if self._monotonic() - self._tried_at[reason] < self._pause:
            return None
        self._tried_at[reason] = self._monotonic()
        # In a task of its own, because the first caller may be cancelled.
        return self._fetch.join(lambda: start(self._fetch_keys)).future

    async def _ask(self, seconds: float) -> Reply:
        return await exchange(self._transports, httpx.Request("GET", self._url), seconds=seconds)

    async def _fetch_keys(self) -> None:
        try:
            reply = await in_two_attempts(self._ask, self._timeout)
            if reply.status != _OK:
                raise JsonBodyError(f"status {reply.status}")
            self._keys = parse_key_set(reply.body)
            self._fetched_at = self._monotonic()
        except (SeicError, JsonBodyError) as error:
            consequence = "there are no old keys" if self._keys is None else "the old keys are used"
            _logger.warning("%s: the key set could not be fetched, %s: %s", self._url, consequence, error)
