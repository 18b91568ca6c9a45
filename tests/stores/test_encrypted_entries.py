"""Entries of a shared store: their names, their encryption, and what is not accepted."""

from __future__ import annotations

import json
import pickle
import time
from pathlib import Path

import attrs
import pytest

import seic

KEY, OTHER = "first key of the store, 32 letters", b"\x07" * 32
ENTRY = "a1" * 32


def token(name: str = "secret-token", **fields: object) -> seic.Token:
    """Return a token of an hour."""
    return seic.Token.from_dict({"access_token": name, "expires_in": 3600.0, "obtained_at": time.time(), **fields})


def entry_of(folder: Path) -> Path:
    """Return the file of the only entry."""
    (path,) = [path for path in folder.iterdir() if path.is_file()]
    return path


def change(path: Path, new: bytes) -> None:
    """Put another value behind the numbers of an entry."""
    path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n" + new)


def value_of(path: Path) -> bytes:
    """Return the encrypted token of an entry."""
    return path.read_bytes().partition(b"\n")[2]


def test_no_secret_is_in_a_file_or_its_name(tmp_path: Path) -> None:
    """Names are keyed hashes: they show neither the token nor the key that a user without the store's key computes."""
    seic.FileStore(tmp_path, key=KEY).save(ENTRY, token(refresh_token="secret-refresh"))
    path = entry_of(tmp_path)

    assert b"secret" not in path.read_bytes()
    assert ENTRY[:16] not in path.name
    assert len(path.name) == 64


def test_equal_tokens_are_encrypted_differently(tmp_path: Path) -> None:
    """Each time with other random bytes."""
    store, same = seic.FileStore(tmp_path, key=KEY), token()
    store.save(ENTRY, same)
    first = value_of(entry_of(tmp_path))
    store.save(ENTRY, same)

    assert value_of(entry_of(tmp_path))[:40] != first[:40]


@pytest.mark.parametrize("cut", [0, 4, 5, 10, 17, 30, -1])
def test_a_truncated_value_is_refused(tmp_path: Path, cut: int) -> None:
    """At any length; an empty one is a missing token."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    path = entry_of(tmp_path)
    change(path, value_of(path)[:cut])
    if cut == 0:
        assert store.load(ENTRY) is None
        return
    with pytest.raises(ValueError, match=r"entry of seic|was changed"):
        store.load(ENTRY)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    """The version and the random bytes included."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    path = entry_of(tmp_path)
    value = value_of(path)
    for position in range(len(value)):
        changed = bytearray(value)
        changed[position] ^= 1
        change(path, bytes(changed))
        with pytest.raises(ValueError, match=r"entry of seic|was changed|is not encrypted"):
            store.load(ENTRY)


def test_a_value_of_another_entry_is_refused(tmp_path: Path) -> None:
    """An operator who copies one entry over another does not give a client another's token."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    value = value_of(entry_of(tmp_path))
    other = seic.FileStore(tmp_path / "other", key=KEY)
    other.save("b2" * 32, token("another"))
    change(entry_of(tmp_path / "other"), value)

    with pytest.raises(ValueError, match="another entry"):
        other.load("b2" * 32)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (b"seic\x02" + b"x" * 60, "later version"),
        (b"seic\xff", "later version"),
        (b"some other program's file", "not an entry"),
        (b'seic\x00{"access_token": "planted"}', "not encrypted"),
    ],
)
def test_foreign_values_are_refused(tmp_path: Path, value: bytes, problem: str) -> None:
    """The message has nothing of the value."""
    store = seic.FileStore(tmp_path, key=KEY)
    store.save(ENTRY, token())
    change(entry_of(tmp_path), value)
    with pytest.raises(ValueError, match=problem) as caught:
        store.load(ENTRY)

    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("text", [b"{}", b"[]", b"null", b"[" * 100_000, b"\xff", b'{"access_token": 7}'])
def test_what_is_no_token_is_refused(tmp_path: Path, text: bytes) -> None:
    """Also without encryption."""
    store = seic.FileStore(tmp_path, key="UNENCRYPTED")
    store.save(ENTRY, token())
    change(entry_of(tmp_path), b"seic\0" + text)

    with pytest.raises(ValueError, match="no token"):
        store.load(ENTRY)


def test_a_token_of_another_key_is_not_found(tmp_path: Path) -> None:
    """Entries of two keys have two names, so that two applications can share a folder."""
    seic.FileStore(tmp_path, key=KEY).save(ENTRY, token())

    assert seic.FileStore(tmp_path, key=OTHER).load(ENTRY) is None


def test_keys_rotate(tmp_path: Path) -> None:
    """The first key encrypts, all decrypt; once all processes have the new one, the old one can go."""
    seic.FileStore(tmp_path, key=KEY).save(ENTRY, token("old"))
    both = seic.FileStore(tmp_path, key=[OTHER, KEY])
    loaded = both.load(ENTRY)
    assert loaded is not None
    assert loaded.access_token == "old"
    both.save(ENTRY, token("new"))

    found = seic.FileStore(tmp_path, key=OTHER).load(ENTRY)
    assert found is not None
    assert found.access_token == "new"
    both.delete(ENTRY)
    assert seic.FileStore(tmp_path, key=[KEY]).load(ENTRY) is None


def test_processes_agree_while_keys_rotate(tmp_path: Path) -> None:
    """Those with the old key first and those with the new one: each sees the other's claim and newest token."""
    before, after = seic.FileStore(tmp_path, key=[KEY, OTHER]), seic.FileStore(tmp_path, key=[OTHER, KEY])
    for number in range(4):
        one, other = (before, after) if number % 2 else (after, before)
        assert one.claim(ENTRY, 60)
        assert not other.claim(ENTRY, 60)
        one.save(ENTRY, token(f"{number}", obtained_at=time.time() + number))
        one.release(ENTRY)

        loaded = other.load(ENTRY)
        assert loaded is not None
        assert loaded.access_token == f"{number}"


def test_a_later_version_may_add_fields(tmp_path: Path) -> None:
    """Versions of seic share a store during a deployment."""
    store = seic.FileStore(tmp_path, key="UNENCRYPTED")
    store.save(ENTRY, token())
    fields = {**token("from the future").to_dict(), "colour": "blue"}
    change(entry_of(tmp_path), b"seic\0" + json.dumps(fields).encode())

    loaded = store.load(ENTRY)
    assert loaded is not None
    assert loaded.access_token == "from the future"


@pytest.mark.parametrize(
    "key", [None, "", "too short", "x" * 31, b"x" * 31, b"x" * 33, 7, [], ["x" * 32, "short"], ["UNENCRYPTED"]]
)
def test_a_store_needs_a_key(tmp_path: Path, key: object) -> None:
    """Or the word for a store without one."""
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.FileStore(tmp_path, key=key)  # type: ignore[arg-type]  # what a user may pass

    assert caught.value.field == "key"
    assert "too short" not in str(caught.value)
    assert "UNENCRYPTED" in str(caught.value)


def test_the_repr_shows_no_key(tmp_path: Path) -> None:
    """Only the folder, and whether it is encrypted."""
    store = seic.FileStore(tmp_path, key=KEY)

    assert repr(store) == f"FileStore({str(tmp_path)!r}, encrypted)"
    assert repr(seic.FileStore(tmp_path, key="UNENCRYPTED")).endswith("UNENCRYPTED)")
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(store)


def test_a_token_is_bound_to_the_secret(tmp_path: Path) -> None:
    """A client with another secret or password never finds it; a name shows none of them, and neither does a key."""
    store = seic.FileStore(tmp_path, key=KEY)
    config = seic.Config(
        client_id="one",
        client_secret="secret-1",
        environment="test",
        provider=seic.SEI_GATEWAY,
        grant=seic.ClientCredentials(username="u", password="secret-2"),
    )
    key = config.store_key(None)
    store.save(key, token())
    grant = seic.ClientCredentials(username="u", password="secret-3")
    others = [attrs.evolve(config, client_secret="other"), attrs.evolve(config, grant=grant)]

    assert store.load(attrs.evolve(config).store_key(None)) is not None
    assert [store.load(other.store_key(None)) for other in others] == [None, None]
    assert b"secret" not in pickle.dumps(key)
    assert "secret" not in repr(key)
    # A digest without a key could be guessed.
    assert {key == other.store_key(None) for other in others} == {True}


def test_a_session_outlives_a_renewed_client_secret(tmp_path: Path) -> None:
    """Else all users would have to log in again."""
    store = seic.FileStore(tmp_path, key=KEY)
    config = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api="https://api.example"),
        client_id="one",
        client_secret="old",
        grant=seic.AuthorizationCode(code="c", subject="user"),
    )
    store.save(config.store_key(None), token())

    assert store.load(attrs.evolve(config, client_secret="new").store_key(None)) is not None


def test_a_client_id_is_forgotten(tmp_path: Path) -> None:
    """After its secret was disclosed: all of its tokens, and no others."""
    hosts = seic.Hosts(api="https://api.example")
    store = seic.FileStore(tmp_path, key=[KEY, OTHER])
    keys = {
        (client, scope): seic.Config(
            provider=seic.OAUTH2,
            hosts=hosts,
            client_id=client,
            client_secret="s",
            grant=seic.ClientCredentials(scope=scope),
        ).store_key(None)
        for client in ("one", "two")
        for scope in ("read", "write")
    }
    for key in keys.values():
        store.save(key, token())
    seic.FileStore(tmp_path, key=OTHER).save(keys["one", "read"], token())
    store.forget(client_id="one")

    assert {names for names, key in keys.items() if store.load(key)} == {("two", "read"), ("two", "write")}
