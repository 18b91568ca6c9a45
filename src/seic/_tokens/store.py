"""Where tokens are kept beyond one source: the protocol that a store fulfils, and the one in memory."""

from __future__ import annotations

import datetime as dt
from typing import Protocol

from seic._model.token import Token

#: From how many tokens on `MemoryStore` looks for those that have ended.
_CROWD = 1024


class TokenStore(Protocol):
    """What a store offers; it may fail, and a failure costs a token call, never a request.

    Methods block; one that waits for a disk or a network says so by `blocking`, and is then called in a thread of its
    own and waited for briefly. Calls come one at a time.
    Keys are opaque hex digests of everything that a token is bound to, so two identities never share one.
    A token is kept with all its fields; without `login_id` a session cannot be told from that of an earlier login.

    Nobody deletes what was abandoned: a store may forget a token at `Token.ends_at`, when nothing of it serves.

    Nothing here is a claim: two processes that share a store can renew one token at the same moment, and so spend one
    refresh token twice, unless it is a `ClaimingStore`. Within a process that does not happen, whatever the store.
    """

    @property
    def blocking(self) -> bool:
        """Whether a call may wait for a disk or a network."""
        ...

    def load(self, key: str) -> Token | None:
        """Return the token kept under the key, or None."""
        ...

    def save(self, key: str, token: Token) -> None:
        """Keep the token under the key, in place of an older one."""
        ...

    def delete(self, key: str) -> None:
        """Forget what is kept under the key, if anything."""
        ...


class ClaimingStore(TokenStore, Protocol):
    """A store by which processes agree who spends a refresh token; any store may have these two methods."""

    def claim(self, key: str, seconds: float) -> bool:
        """Claim the renewal of the token under the key; return False, at once, while another process has claimed it.

        A claim ends with `release`, with its process where the store can tell that, or else after `seconds`.
        """
        ...

    def release(self, key: str) -> None:
        """Give a claim back."""
        ...


class MemoryStore:
    """Tokens in this process's memory, shared by every configuration that is given the same store.

    Safe in threads and event loops; it is gone with the process. A thousand tokens and more are looked through now and
    then for those that have ended.
    """

    blocking = False

    def __init__(self) -> None:
        self._crowd = _CROWD
        # Single operations of a dict are atomic; a lock could be held by another thread when the process forks.
        self._tokens: dict[str, Token] = {}

    def __repr__(self) -> str:
        return f"MemoryStore(tokens={len(self._tokens)})"

    def load(self, key: str) -> Token | None:
        """Return the token kept under the key, or None."""
        return self._tokens.get(key)

    def save(self, key: str, token: Token) -> None:
        """Keep the token under the key."""
        self._tokens[key] = token
        if len(self._tokens) >= self._crowd:
            self._forget_ended()

    def delete(self, key: str) -> None:
        """Forget what is kept under the key, if anything."""
        self._tokens.pop(key, None)

    def _forget_ended(self) -> None:
        now = dt.datetime.now(dt.UTC)
        for key, token in list(self._tokens.items()):
            if token.ends_at is not None and token.ends_at <= now:
                self._tokens.pop(key, None)
        # Not before as many have come again, so that a save costs little however many live.
        self._crowd = max(_CROWD, 2 * len(self._tokens))
