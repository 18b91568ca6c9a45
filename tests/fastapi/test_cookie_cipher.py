from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.fernet import Fernet

import seic
from seic.fastapi._cookie_cipher import CookieCipher

KEY, OTHER = Fernet.generate_key(), Fernet.generate_key()
DOCUMENT = {"state": "s-1"}


def test_what_was_sealed_opens_for_its_purpose() -> None:
    """And nobody reads it on the way."""
    sealed = CookieCipher(KEY).encrypt("login", DOCUMENT)

    assert CookieCipher(KEY.decode()).decrypt("login", sealed, max_age=60) == DOCUMENT
    assert "s-1" not in sealed
    assert CookieCipher(KEY).encrypt("login", DOCUMENT) != sealed


@pytest.mark.parametrize(
    ("purpose", "change"),
    [
        pytest.param("session", lambda sealed: sealed, id="for another purpose"),
        pytest.param("login", lambda sealed: sealed[:-8] + "AAAAAAA=", id="changed"),
        pytest.param("login", lambda sealed: sealed[:-1], id="cut"),
        pytest.param("login", lambda sealed: "", id="empty"),
        pytest.param("login", lambda sealed: None, id="absent"),
        pytest.param("login", lambda sealed: "gibberish é", id="gibberish"),
        pytest.param("login", lambda sealed: CookieCipher(OTHER).encrypt("login", DOCUMENT), id="another's"),
    ],
)
def test_anything_else_is_nothing(purpose: str, change: object) -> None:
    """No error, no partial trust: it is as if the browser had sent none."""
    sealed = change(CookieCipher(KEY).encrypt("login", DOCUMENT))  # type: ignore[operator]

    assert CookieCipher(KEY).decrypt(purpose, sealed, max_age=60) is None


@pytest.mark.parametrize(("age", "opens"), [(60, True), (61, False)])
def test_it_is_good_for_a_time(age: int, opens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser may keep a cookie for longer than it was told to."""
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    sealed = CookieCipher(KEY).encrypt("login", DOCUMENT)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0 + age)

    assert (CookieCipher(KEY).decrypt("login", sealed, max_age=60) is not None) is opens


def test_keys_are_rotated() -> None:
    """The first of several seals, each opens; a key that is gone opens nothing."""
    old = CookieCipher(KEY).encrypt("login", DOCUMENT)
    both = CookieCipher([OTHER, KEY])

    assert both.decrypt("login", old, max_age=60) == DOCUMENT
    assert CookieCipher(OTHER).decrypt("login", both.encrypt("login", DOCUMENT), max_age=60) == DOCUMENT
    assert CookieCipher(OTHER).decrypt("login", old, max_age=60) is None


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], None, [None]])
def test_a_key_that_is_none_is_refused(key: object) -> None:
    """With the command that makes one; what was given is not repeated."""
    with pytest.raises(seic.ConfigurationError) as caught:
        CookieCipher(key)  # type: ignore[arg-type]

    assert caught.value.field == "key"
    assert "Fernet.generate_key" in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_seal_is_not_pickled() -> None:
    """It holds the keys."""
    seal = CookieCipher(KEY)

    with pytest.raises(TypeError):
        pickle.dumps(seal)
    assert copy.deepcopy(seal) is seal
