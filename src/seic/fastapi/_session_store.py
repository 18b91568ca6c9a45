"""The token store as sessions use it: a token and a marker for each session, so that a logout is final."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import attrs

from seic import Token, TokenStore
from seic._tokens.clock import SYSTEM_CLOCK
from seic._tokens.store import is_blocking


class SessionStore:
    """Wraps a token store so that no refresh can undo a logout.

    A session exists while its marker is in the store. A login writes the marker, a logout deletes it, a refresh never
    touches it. If a refresh ends after the logout, in whatever process, its token belongs to no session and is deleted
    again: a logout deletes the marker first and the token second, a refresh saves the token first and looks for the
    marker second, so in any order one of the two sees the other's write.

    Args:
        store: The token store.
        lasts: Seconds after which a session ends.
        idle: Seconds after the expiry of an access token within which it has to be refreshed.
        wall: The wall clock, seconds since the epoch.
    """

    def __init__(
        self, store: TokenStore, *, lasts: float, idle: float, wall: Callable[[], float] = SYSTEM_CLOCK.wall
    ) -> None:
        self._store = store
        self._lasts = lasts
        self._idle = idle
        self._wall = wall
        self.load = store.load
        self.delete = store.delete
        # A `ClaimingStore` decides which process refreshes.
        for name in ("claim", "release"):
            if hasattr(store, name):
                setattr(self, name, getattr(store, name))

    @property
    def blocking(self) -> bool:
        """Whether the store blocks."""
        return is_blocking(self._store)

    def save(self, key: str, token: Token) -> None:
        """Save a refreshed token, unless the session has ended."""
        self._store.save(key, self._limited(token))
        if not self.exists(key):
            self._store.delete(key)

    def start(self, key: str, token: Token) -> None:
        """Start a session with its first token."""
        self._store.save(key, self._limited(token))
        # Stores hold tokens; this one is nobody's, and expires with the session.
        marker = Token(access_token="session", expires_in=self._lasts, obtained_at=self._wall())
        self._store.save(_marker_key(key), marker)

    def exists(self, key: str) -> bool:
        """Whether a session exists."""
        return self._store.load(_marker_key(key)) is not None

    def end(self, key: str) -> None:
        """End a session; its token may be left, but belongs to no session."""
        self._store.delete(_marker_key(key))

    def is_idle(self, token: Token) -> bool:
        """Whether a token expired too long ago to be refreshed."""
        expires_at = token.expires_at
        return expires_at is not None and expires_at.timestamp() + self._idle <= self._wall()

    def _limited(self, token: Token) -> Token:
        """Return the token with an end (`Token.ends_at`), after which the store may delete it."""
        lifetime = self._lasts if token.expires_in is None else token.expires_in
        if token.refresh_token is None:
            return attrs.evolve(token, expires_in=lifetime)
        limit = lifetime + self._idle
        if token.refresh_expires_in is not None:
            limit = min(limit, token.refresh_expires_in)
        return attrs.evolve(token, expires_in=lifetime, refresh_expires_in=limit)


def _marker_key(key: str) -> str:
    return hashlib.sha256(f"session {key}".encode()).hexdigest()
