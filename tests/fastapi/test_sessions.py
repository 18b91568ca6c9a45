from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

import seic
from seic.fastapi._sessions import _SessionStore

KEY = "a" * 64
#: What a refresh does in the store at most: it saves, looks for the session, and deletes.
_STEPS = 3


def token(number: int) -> seic.Token:
    """Return a token that can be refreshed."""
    return seic.Token(
        access_token=f"access-{number}", refresh_token=f"refresh-{number}", expires_in=3600.0, obtained_at=time.time()
    )


class Interrupted(seic.MemoryStore):
    """A store where something else happens before the operations of those numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.before: list[tuple[int, Callable[[], None]]] = []

    def _next(self) -> None:
        due = [call for number, call in self.before if number == self.count]
        self.count += 1
        for call in due:
            call()

    def load(self, key: str) -> seic.Token | None:
        """Return the token."""
        self._next()
        return super().load(key)

    def save(self, key: str, token: seic.Token) -> None:
        """Keep the token."""
        self._next()
        super().save(key, token)

    def delete(self, key: str) -> None:
        """Forget the token."""
        self._next()
        super().delete(key)


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations_with_replacement(range(_STEPS + 1), 2)), ids=str
)
def test_no_order_of_a_refresh_and_a_logout_leaves_a_session(first: int, second: int) -> None:
    """Each of the logout's two steps before each of the refresh's, or after them all."""
    store = Interrupted()
    living = _SessionStore(store, lasts=60.0, idle=60.0)
    living.begin(KEY, token(1))
    direct: Any = super(Interrupted, store)
    logout = _SessionStore(_Direct(direct), lasts=60.0, idle=60.0)
    store.count = 0
    store.before = [(first, lambda: logout.end(KEY)), (second, lambda: logout.delete(KEY))]

    living.save(KEY, token(2))
    for number in range(store.count, _STEPS + 1):
        store.count = number
        store._next()

    assert not logout.is_begun(KEY)
    assert store._tokens == {}


class _Direct:
    """The same store, without interruptions."""

    blocking = False

    def __init__(self, store: Any) -> None:
        self.load, self.save, self.delete = store.load, store.save, store.delete


def test_a_refresh_in_a_session_that_lives_is_kept() -> None:
    """The mark is as it was, and the token is the new one."""
    store = seic.MemoryStore()
    living = _SessionStore(store, lasts=60.0, idle=60.0)
    living.begin(KEY, token(1))
    living.save(KEY, token(2))

    kept = store.load(KEY)
    assert kept is not None
    assert kept.access_token == "access-2"
    assert living.is_begun(KEY)


def test_workers_agree_on_a_refresh_where_the_store_can() -> None:
    """The store's claims are those of sessions, too; one without any is none the worse."""
    claims: list[tuple[str, str]] = []

    class Claiming(seic.MemoryStore):
        def claim(self, key: str, seconds: float) -> bool:
            claims.append(("claim", key))
            return True

        def release(self, key: str) -> None:
            claims.append(("release", key))

    living: Any = _SessionStore(Claiming(), lasts=60.0, idle=60.0)
    living.claim(KEY, 10.0)
    living.release(KEY)

    assert claims == [("claim", KEY), ("release", KEY)]
    assert not hasattr(_SessionStore(seic.MemoryStore(), lasts=60.0, idle=60.0), "claim")
