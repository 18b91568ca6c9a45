"""Stores of tokens: the protocols, and the in-memory store."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from seic._model.token import Token
from seic._public import publish

#: The number of tokens from which `MemoryStore` deletes expired ones.
_CROWD = 1024


class InvalidEntryError(ValueError):
    """An entry of a store holds no token that this process can read; the message has nothing of it."""


class TokenStore(Protocol):
    """A store of tokens; a failure costs a token request, never an API call.

    Methods block. A store is called in its own thread, and waited for briefly, unless its attribute `blocking` is
    False: then an async client calls it in place, so no method may wait for a disk or a network. Calls come one at a
    time. Keys are opaque hex digests of everything that a token is bound to, so two identities never share one. Save a
    token with all its fields; without `login_id` a session cannot be distinguished from that of an earlier login.

    seic does not delete unused tokens: a store can delete a token at `Token.ends_at`, when nothing in it is valid.

    Two processes that share a store can refresh one token at the same moment, and so use one refresh token twice,
    unless the store is a `ClaimingStore`. Within a process this cannot happen.
    """

    @property
    def blocking(self) -> bool:
        """Whether a call can wait for a disk or a network."""
        ...

    def load(self, key: str) -> Token | None:
        """Return the token with this key, or None."""
        ...

    def save(self, key: str, token: Token) -> None:
        """Save the token with this key, and replace an older one."""
        ...

    def delete(self, key: str) -> None:
        """Delete the token with this key, if any."""
        ...


def is_blocking(store: TokenStore) -> bool:
    """Tell whether calls of a store can wait; True for a store that does not say."""
    try:
        return bool(getattr(store, "blocking", True))
    except Exception:  # noqa: BLE001  # a property of the user's
        return True


class ClaimingStore(TokenStore, Protocol):
    """A store in which processes agree on the one that requests a token; any store can have these two methods.

    A store that several processes share refuses the `save` of a process whose claim has ended, if another has claimed
    the key since and saved a token, or has deleted it. `seic.testing.TokenStoreTests` tests that.
    """

    def claim(self, key: str, seconds: float) -> bool:
        """Claim the refresh of the token with this key; return False at once if another process has claimed it.

        A claim ends with `release`, with its process if the store can detect that, or after `seconds`.
        """
        ...

    def release(self, key: str) -> None:
        """Release a claim."""
        ...


class MemoryStore:
    """Tokens in the memory of this process, shared by all configurations with the same store.

    It is safe in threads and event loops. From a thousand tokens on, expired ones are deleted from time to time.
    """

    blocking = False

    def __init__(self) -> None:
        self._crowd = _CROWD
        # Single operations of a dict are atomic; a lock could be held by another thread during a fork.
        self._tokens: dict[str, Token] = {}

    def __repr__(self) -> str:
        return f"MemoryStore(tokens={len(self._tokens)})"

    def load(self, key: str) -> Token | None:
        """Return the token with this key, or None."""
        return self._tokens.get(key)

    def save(self, key: str, token: Token) -> None:
        """Save the token with this key."""
        self._tokens[key] = token
        if len(self._tokens) >= self._crowd:
            self._forget_ended()

    def delete(self, key: str) -> None:
        """Delete the token with this key, if any."""
        self._tokens.pop(key, None)

    def _forget_ended(self) -> None:
        now = dt.datetime.now(dt.UTC)
        for key, token in list(self._tokens.items()):
            if token.ends_at is not None and token.ends_at <= now:
                self._tokens.pop(key, None)
        # Only after as many saves, so that a save is fast for any number of tokens.
        self._crowd = max(_CROWD, 2 * len(self._tokens))


publish("seic", ["ClaimingStore", "MemoryStore", "TokenStore"], globals())
