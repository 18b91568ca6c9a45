"""Encrypted cookies: purpose, age, key rotation."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.fernet import Fernet

import seic
from seic.fastapi._cookie_cipher import CookieCipher

KEY, OTHER = Fernet.generate_key(), Fernet.generate_key()
DOCUMENT = {"state": "s-1"}


def test_a_document_decrypts_for_its_purpose() -> None:
    """The encrypted value reveals nothing, and differs each time."""
    encrypted = CookieCipher(KEY).encrypt("login", DOCUMENT)

    assert CookieCipher(KEY.decode()).decrypt("login", encrypted, max_age=60) == DOCUMENT
    assert "s-1" not in encrypted
    assert CookieCipher(KEY).encrypt("login", DOCUMENT) != encrypted


@pytest.mark.parametrize(
    ("purpose", "change"),
    [
        pytest.param("session", lambda encrypted: encrypted, id="another purpose"),
        pytest.param("login", lambda encrypted: encrypted[:-8] + "AAAAAAA=", id="changed"),
        pytest.param("login", lambda encrypted: encrypted[:-1], id="cut"),
        pytest.param("login", lambda encrypted: "", id="empty"),
        pytest.param("login", lambda encrypted: None, id="absent"),
        pytest.param("login", lambda encrypted: "gibberish é", id="not a Fernet token"),
        pytest.param("login", lambda encrypted: CookieCipher(OTHER).encrypt("login", DOCUMENT), id="another key"),
    ],
)
def test_anything_else_is_none(purpose: str, change: object) -> None:
    """As if the browser had sent no cookie."""
    encrypted = change(CookieCipher(KEY).encrypt("login", DOCUMENT))  # type: ignore[operator]

    assert CookieCipher(KEY).decrypt(purpose, encrypted, max_age=60) is None


@pytest.mark.parametrize(("age", "opens"), [(60, True), (61, False)])
def test_a_document_expires(age: int, opens: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser may keep a cookie longer than `max_age`."""
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    encrypted = CookieCipher(KEY).encrypt("login", DOCUMENT)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0 + age)

    assert (CookieCipher(KEY).decrypt("login", encrypted, max_age=60) is not None) is opens


def test_keys_can_be_rotated() -> None:
    """The first of several encrypts, each decrypts; a removed key decrypts nothing."""
    old = CookieCipher(KEY).encrypt("login", DOCUMENT)
    both = CookieCipher([OTHER, KEY])

    assert both.decrypt("login", old, max_age=60) == DOCUMENT
    assert CookieCipher(OTHER).decrypt("login", both.encrypt("login", DOCUMENT), max_age=60) == DOCUMENT
    assert CookieCipher(OTHER).decrypt("login", old, max_age=60) is None


@pytest.mark.parametrize("key", ["", "short", b"short", [], ["short"], None, [None]])
def test_a_malformed_key_is_an_error(key: object) -> None:
    """The message has the command that makes one, and not the value."""
    with pytest.raises(seic.ConfigurationError) as caught:
        CookieCipher(key)  # type: ignore[arg-type]

    assert caught.value.field == "key"
    assert "Fernet.generate_key" in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_cipher_cannot_be_pickled() -> None:
    """It contains the keys."""
    cipher = CookieCipher(KEY)

    with pytest.raises(TypeError):
        pickle.dumps(cipher)
    assert copy.deepcopy(cipher) is cipher
