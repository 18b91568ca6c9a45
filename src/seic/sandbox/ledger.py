"""The tokens that live: their owners and their two lifetimes. Knows no HTTP, and no time but the clock it is given."""

from __future__ import annotations

import secrets
import threading
import time

import attrs

from seic.sandbox.clock import Clock


@attrs.frozen(kw_only=True)
class Lease:
    """What is known of a live token.

    Args:
        username: The service account that owns it.
        bound: Whether it was minted over mutual TLS, and so dies without the certificate.
        issued_at: Milliseconds since the epoch.
        expires_in: Whole seconds of active life left when it was handed out.
    """

    username: str
    bound: bool
    issued_at: int
    expires_in: int


@attrs.define
class _Entry:
    lease: Lease
    issued: float
    last_used: float


class DeadToken(Exception):
    """The token opens nothing; the message says why, in a sentence."""


class Ledger:
    """Issues tokens and knows which are alive; safe to use from any thread.

    Args:
        clock: Seconds; only differences count.
        active_lifetime: Seconds from issue to death.
        idle_lifetime: Seconds from the last use, or from issue, to death.
    """

    def __init__(self, *, clock: Clock, active_lifetime: float, idle_lifetime: float) -> None:
        for name, value in (("active_lifetime", active_lifetime), ("idle_lifetime", idle_lifetime)):
            if not value > 0:
                raise ValueError(f"{name} must be more than 0 seconds, not {value}")
        self._clock = clock
        self._active_lifetime = active_lifetime
        self._idle_lifetime = idle_lifetime
        # `issued_at` is a wall time that moves with the clock, so that a clock moved by hand moves it too.
        self._wall_at_zero = time.time() - clock()
        self._lock = threading.Lock()  # guards _entries and what is in them
        self._entries: dict[str, _Entry] = {}

    def issue(self, *, username: str, bound: bool) -> tuple[str, Lease]:
        """Mint a token and return it with what is known of it."""
        now = self._clock()
        lease = Lease(
            username=username,
            bound=bound,
            issued_at=int((self._wall_at_zero + now) * 1000),
            # The documents show 3599 for a life of 60 minutes: the whole seconds left once it is handed out.
            expires_in=-int(-self._active_lifetime // 1) - 1,
        )
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._entries[token] = _Entry(lease, now, now)
        return token, lease

    def find(self, token: str) -> Lease:
        """Return what is known of a live token, without counting as a use of it.

        Raises:
            DeadToken: It is unknown or revoked, or past one of its lifetimes.
        """
        now = self._clock()
        with self._lock:
            entry = self._entries.get(token)
            if entry is None:
                raise DeadToken("The access token is unknown or was revoked.")
            if now - entry.issued >= self._active_lifetime:
                raise DeadToken("The access token has expired.")
            if now - entry.last_used >= self._idle_lifetime:
                raise DeadToken("The access token was not used for too long.")
            return entry.lease

    def touch(self, token: str) -> None:
        """Count a use of the token from now."""
        now = self._clock()
        with self._lock:
            if token in self._entries:
                self._entries[token].last_used = now

    def revoke(self, token: str) -> bool:
        """Kill a token; tell whether there was one."""
        with self._lock:
            return self._entries.pop(token, None) is not None

    def revoke_all(self) -> int:
        """Kill every token; tell how many there were."""
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            return count
