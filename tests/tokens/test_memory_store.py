"""`MemoryStore` deletes expired tokens."""

from __future__ import annotations

import time

import pytest

import seic
from seic import MemoryStore
from seic._tokens import store as module


def token(*, ended: bool) -> seic.Token:
    """Return an expired token, or a valid one."""
    return seic.Token(access_token="a", expires_in=60.0, obtained_at=time.time() - (61 if ended else 0))


def test_a_crowd_of_ended_tokens_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions without a logout would stay for the life of the process; tokens that are or may be valid are kept."""
    monkeypatch.setattr(module, "_CROWD", 4)
    store = MemoryStore()
    store.save("living", token(ended=False))
    store.save("unknown", seic.Token(access_token="a"))
    store.save("ended", token(ended=True))
    assert store.load("ended") is not None

    store.save("last", token(ended=False))

    assert [store.load(key) is not None for key in ("living", "unknown", "ended", "last")] == [True, True, False, True]


def test_a_crowd_of_living_tokens_is_not_looked_through_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next search is after as many new tokens."""
    monkeypatch.setattr(module, "_CROWD", 4)
    store = MemoryStore()
    for number in range(4):
        store.save(f"living-{number}", token(ended=False))
    for number in range(3):
        store.save(f"ended-{number}", token(ended=True))
    assert store.load("ended-0") is not None

    store.save("ended-3", token(ended=True))

    assert repr(store) == "MemoryStore(tokens=4)"
