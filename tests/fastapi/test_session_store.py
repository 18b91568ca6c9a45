"""The order of a refresh and a logout in the store."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

import seic
from seic.fastapi._session_store import SessionStore
from tests._support.stores import DatabaseStore

KEY = "a" * 64
#: The most steps of a refresh in the store: save, look up, delete.
_STEPS = 3


def token(number: int) -> seic.Token:
    """Return a token with a refresh token."""
    return seic.Token(
        access_token=f"access-{number}", refresh_token=f"refresh-{number}", expires_in=3600.0, obtained_at=time.time()
    )


class Interrupted(DatabaseStore):
    """A store that calls functions before the operations with their numbers."""

    def __init__(self) -> None:
        super().__init__({})
        self.count = 0
        self.before: list[tuple[int, Callable[[], None]]] = []

    def advance(self) -> None:
        """Count an operation, and call its functions."""
        due = [call for number, call in self.before if number == self.count]
        self.count += 1
        for call in due:
            call()

    def load(self, key: str) -> seic.Token | None:
        """Return the token."""
        self.advance()
        return super().load(key)

    def save(self, key: str, token: seic.Token) -> None:
        """Save the token."""
        self.advance()
        super().save(key, token)

    def delete(self, key: str) -> None:
        """Delete the token."""
        self.advance()
        super().delete(key)


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations_with_replacement(range(_STEPS + 1), 2)), ids=str
)
def test_no_order_of_a_refresh_and_a_logout_leaves_a_session(first: int, second: int) -> None:
    """Each of the logout's two steps happens before each of the refresh's, or after all of them."""
    store = Interrupted()
    sessions = SessionStore(store, lasts=60.0, idle=60.0)
    sessions.start(KEY, token(1))
    logout = SessionStore(DatabaseStore(store.tokens), lasts=60.0, idle=60.0)
    store.count = 0
    store.before = [(first, lambda: logout.end(KEY)), (second, lambda: logout.delete(KEY))]

    sessions.save(KEY, token(2))
    for number in range(store.count, _STEPS + 1):
        store.count = number
        store.advance()

    assert not logout.exists(KEY)
    assert store.tokens == {}


def test_a_refresh_of_an_existing_session_is_saved() -> None:
    """The marker stays, and the token is the new one."""
    store = seic.MemoryStore()
    sessions = SessionStore(store, lasts=60.0, idle=60.0)
    sessions.start(KEY, token(1))
    sessions.save(KEY, token(2))

    kept = store.load(KEY)
    assert kept is not None
    assert kept.access_token == "access-2"
    assert sessions.exists(KEY)


def test_claims_of_the_store_are_passed_on() -> None:
    """A store without claims has none here."""
    claims: list[tuple[str, str]] = []

    class Claiming(seic.MemoryStore):
        def claim(self, key: str, seconds: float) -> bool:
            claims.append(("claim", key))
            return True

        def release(self, key: str) -> None:
            claims.append(("release", key))

    sessions: Any = SessionStore(Claiming(), lasts=60.0, idle=60.0)
    sessions.claim(KEY, 10.0)
    sessions.release(KEY)

    assert claims == [("claim", KEY), ("release", KEY)]
    assert not hasattr(SessionStore(seic.MemoryStore(), lasts=60.0, idle=60.0), "claim")
