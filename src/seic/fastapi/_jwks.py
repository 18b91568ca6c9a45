"""The keys that an issuer signs with: its key set (RFC 7517), cached, and fetched again when a key is new.

Only public signing keys of known kinds come in, each bound to the algorithms of its kind, so that no header of a token
can talk a key into another use.
"""

from __future__ import annotations

import base64
import enum
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import httpx
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from seic._errors import SeicError
from seic._network.identity import Presenter
from seic._network.proxies import Network
from seic._network.transport_factory import TransportFactory
from seic._oauth.json_body import DefectiveDocument, read_document
from seic._runtime import Job, Latch, start_async
from seic._tokens.sending import Sender

#: Each algorithm with the key that it needs: its type, and its curve where it has one. All are asymmetric: with a
#: shared secret, whoever can check a token could also make one (RFC 8725 §3.1).
ALGORITHMS: Mapping[str, tuple[str, str | None]] = {
    **{f"{family}{bits}": ("RSA", None) for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed25519": ("OKP", "Ed25519"),
    # RFC 9864 replaces it by Ed25519; issuers still write it.
    "EdDSA": ("OKP", "Ed25519"),
}
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y"), "OKP": ("kty", "crv", "x")}
_KINDS: Mapping[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
#: RFC 7518 §3.3.
_SMALLEST_RSA_BYTES = 256
_MOST_KEYS = 100
#: How many lifetimes old keys serve while the issuer does not answer.
_SERVE_FOR = 24
_OK = 200

_logger = logging.getLogger("seic.fastapi")


class JWKSUnavailable(Exception):
    """The issuer's keys could not be had, and there are none from before; `retry_after` is seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the issuer's keys could not be had")
        self.retry_after = retry_after


@attrs.frozen
class VerificationKey:
    """One public key of an issuer."""

    kid: str | None
    algorithm: str | None
    kind: str
    curve: str | None
    key: RSAKey | ECKey | OKPKey = attrs.field(repr=False)

    def fits(self, algorithm: str) -> bool:
        """Whether a signature of that algorithm can be of this key."""
        if self.algorithm is not None and self.algorithm != algorithm:
            return False
        return ALGORITHMS.get(algorithm) == (self.kind, self.curve)


def read_key_set(body: bytes) -> tuple[VerificationKey, ...]:
    """Return the usable keys of a key set; a key of another kind or use is passed over (RFC 7517 §5).

    Raises:
        DefectiveDocument: It is no key set, or one without a usable key.
    """
    keys = read_document(body).get("keys")
    if not isinstance(keys, list):
        raise DefectiveDocument("the key set has no list of keys")
    read = (_read_key(entry) for entry in keys[:_MOST_KEYS] if isinstance(entry, dict))
    usable = tuple(key for key in read if key is not None)
    if not usable:
        # More likely a slip of the issuer's than its end: taken at its word, it would refuse everybody.
        raise DefectiveDocument("the key set has no key that can be used here")
    return usable


def _read_key(entry: dict[str, Any]) -> VerificationKey | None:
    kind, kid, algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if not isinstance(kind, str) or kind not in _KINDS or entry.get("use", "sig") != "sig":
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    # Of the public members alone: a set that also publishes private ones gives them to nobody here.
    members = {name: value for name in _PUBLIC_MEMBERS[kind] if isinstance(value := entry.get(name), str)}
    if len(members) < len(_PUBLIC_MEMBERS[kind]) or _is_weak(members):
        return None
    if (kind, members.get("crv")) not in ALGORITHMS.values():
        return None
    try:
        key = _KINDS[kind].import_key({**members})
    except (JoseError, ValueError):
        return None
    return VerificationKey(kid, algorithm, kind, members.get("crv"), key)


def _is_weak(members: Mapping[str, str]) -> bool:
    if members["kty"] != "RSA":
        return False
    try:
        modulus = base64.urlsafe_b64decode(members["n"] + "=" * (-len(members["n"]) % 4))
    except ValueError:
        return True
    return len(modulus.lstrip(b"\0")) < _SMALLEST_RSA_BYTES


class _Reason(enum.Enum):
    """Why keys are fetched."""

    AGE = enum.auto()
    UNKNOWN_KEY = enum.auto()


class JWKSCache:
    """The keys behind a URL: fetched once for all who ask, and again when they are old or when a key is new.

    Old keys are renewed while they go on serving, for a day at most where the issuer does not answer, or with no usable
    key. Tokens with keys that nobody has cost one fetch in each pause at most, however many come; that fetch brings
    every key, so a new one is found within a pause even so.

    Args:
        url: Where the key set is.
        ca: Whom to trust for it; None is the system's trust.
        transport: What carries the fetch in place of the network, for tests.
        lifetime: Seconds after which keys are fetched anew; after 24 times that they serve no more.
        pause: Seconds at least between two fetches for the same reason: for age, or for a key that is not known.
        timeout: Seconds for one fetch in all.
        monotonic: The clock.
    """

    def __init__(
        self,
        url: str,
        *,
        ca: Any = None,
        transport: httpx.AsyncBaseTransport | None = None,
        lifetime: float = 3600.0,
        pause: float = 30.0,
        timeout: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        # No client certificate and no token: a key set is public.
        transports = TransportFactory(
            url,
            presenter=Presenter(None, ca=ca, account=None, strict=False),
            network=Network(),
            transport=transport,
            field="jwks_url",
        )
        self._sender = Sender(transports)
        self._lifetime = lifetime
        self._pause = pause
        self._timeout = timeout
        self._monotonic = monotonic
        self._keys: tuple[VerificationKey, ...] | None = None
        self._fetched_at = float("-inf")
        # By reason, so that tokens with invented keys hold up no renewal, and a renewal no rotation.
        self._tried_at = dict.fromkeys(_Reason, float("-inf"))
        self._latch: Latch | None = None
        self._job: Job | None = None

    async def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """Return the key for a token's header, or None where the issuer has no such key.

        A token that names no key is taken only if one key alone could have signed it.

        Raises:
            JWKSUnavailable: The issuer does not answer, and never did.
        """
        age = self._monotonic() - self._fetched_at
        if age >= self._lifetime * _SERVE_FOR:
            self._keys = None
        found = self._look_up(kid, algorithm)
        if found is not None and age >= self._lifetime:
            self._begin_refresh(_Reason.AGE)
        reason = _Reason.AGE if self._keys is None else _Reason.UNKNOWN_KEY
        if found is None and (latch := self._begin_refresh(reason)) is not None:
            await latch.wait_async(None)
            found = self._look_up(kid, algorithm)
        if self._keys is None:
            raise JWKSUnavailable(max(1.0, self._tried_at[_Reason.AGE] + self._pause - self._monotonic()))
        return found

    def _look_up(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        fitting = [key for key in self._keys or () if key.fits(algorithm) and (kid is None or key.kid == kid)]
        return fitting[0] if len(fitting) == 1 or (fitting and kid is not None) else None

    def _begin_refresh(self, reason: _Reason) -> Latch | None:
        """Return what to wait for: the fetch under way, or a new one; None within the pause after the last."""
        if self._latch is not None and self._job is not None and not self._job.is_stranded():
            return self._latch
        if self._monotonic() - self._tried_at[reason] < self._pause:
            return None
        self._tried_at[reason] = self._monotonic()
        latch = self._latch = Latch()
        # In a task of its own: whoever asked first may be cancelled, and the others still wait.
        self._job = start_async(lambda: self._fetch(latch))
        return latch

    async def _fetch(self, latch: Latch) -> None:
        try:
            reply = await self._sender.send(httpx.Request("GET", self._url), self._timeout)
            if reply.status != _OK:
                raise DefectiveDocument(f"the answer was {reply.status}")
            self._keys = read_key_set(reply.body)
            self._fetched_at = self._monotonic()
        except (SeicError, DefectiveDocument) as error:
            serving = "the old keys go on serving" if self._keys is not None else "there are none from before"
            _logger.warning("the key set %s could not be had, %s: %s", self._url, serving, error)
        finally:
            self._latch = self._job = None
            latch.set()
