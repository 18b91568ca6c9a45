"""Where tokens are kept beyond one source: the protocol that a store fulfils, and the one in memory."""

from __future__ import annotations

from typing import Protocol

from seic._model.token import Token


class TokenStore(Protocol):
    """What a store offers; it may fail, and a failure costs a token call, never a request.

    Methods block; one that waits for a disk or a network says so by `blocking`, and is then called in a thread of its
    own and waited for briefly. Calls come one at a time.
    Keys are opaque hex digests of everything that a token is bound to, so two identities never share one.

    Nothing here is a claim: two processes that share a store can renew one token at the same moment, and so spend one
    refresh token twice. Within a process that does not happen, whatever the store.
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


class MemoryStore:
    """Tokens in this process's memory, shared by every configuration that is given the same store.

    Safe in threads and event loops; it grows by one token for each identity and is gone with the process.
    """

    blocking = False

    def __init__(self) -> None:
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

    def delete(self, key: str) -> None:
        """Forget what is kept under the key, if anything."""
        self._tokens.pop(key, None)
