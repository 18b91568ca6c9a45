"""The store of a configuration from variables."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import pytest

import seic
from seic.redis import RedisStore
from tests._support.redis_server import RedisServer

KEY = "a key of 32 characters, or of more"
LOGIN = {"SEIC_TOKEN_URL": "/token", "SEIC_API_HOST": "api.example", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}


def config(**variables: str) -> seic.Config:
    """Return the configuration of variables."""
    return seic.Config.from_env({**LOGIN, **variables})


def test_a_folder(tmp_path: Path) -> None:
    """Its URL may have escaped characters; the key encrypts it."""
    folder = tmp_path / "my tokens"
    store = config(SEIC_STORE=folder.as_uri(), SEIC_STORE_KEY=KEY).store

    assert repr(store) == f"FileStore({str(folder)!r}, encrypted)"
    assert folder.is_dir()


def test_a_redis(redis_server: RedisServer) -> None:
    """A store of the variables finds the token of one in code."""
    configured = config(SEIC_STORE=redis_server.url, SEIC_STORE_KEY=KEY)
    key = configured.store_key(None)
    RedisStore(redis_server.url, key=KEY).save(key, seic.Token(access_token="a", expires_in=9, obtained_at=2e9))
    assert configured.store is not None
    loaded = configured.store.load(key)

    assert loaded is not None
    assert loaded.access_token == "a"


def test_the_key_in_a_file(tmp_path: Path) -> None:
    """As other secrets."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    folder = tmp_path / "tokens"
    store = config(SEIC_STORE=folder.as_uri(), SEIC_STORE_KEY_FILE=str(tmp_path / "key")).store
    assert store is not None
    store.save("a1" * 32, seic.Token(access_token="a", expires_in=9, obtained_at=2e9))

    assert seic.FileStore(folder, key=KEY).load("a1" * 32) is not None


def test_memory_needs_no_key() -> None:
    """It ends with the process."""
    assert isinstance(config(SEIC_STORE="memory").store, seic.MemoryStore)


@pytest.mark.parametrize("place", ["file:///tmp/tokens", "redis://localhost", "rediss://localhost"])
def test_a_shared_store_needs_a_key(place: str) -> None:
    """The error names the variable, and the word for a store without one."""
    with pytest.raises(seic.ConfigurationError, match=r"SEIC_STORE_KEY: is missing.*UNENCRYPTED") as caught:
        config(SEIC_STORE=place)

    assert caught.value.field == "SEIC_STORE_KEY"


@pytest.mark.parametrize(
    "place", ["secret", "https://secret.example", "file://secret.example/tokens", "file:", "redis://[secret", "file"]
)
def test_an_unknown_store_is_refused(place: str) -> None:
    """The value is not quoted: it may have a password."""
    with pytest.raises(seic.ConfigurationError, match="SEIC_STORE: ") as caught:
        config(SEIC_STORE=place, SEIC_STORE_KEY=KEY)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("module", "place"), [("filelock", "file:///tmp/tokens"), ("redis", "redis://localhost")])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, module: str, place: str) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(seic.ConfigurationError, match=r"SEIC_STORE: .*pip install"):
        config(SEIC_STORE=place, SEIC_STORE_KEY=KEY)


@pytest.mark.parametrize("arguments", [{}, {"url": "redis://localhost", "client": object()}])
def test_a_redis_store_needs_a_place(arguments: dict[str, object]) -> None:
    """A URL or a client, not both."""
    with pytest.raises(seic.ConfigurationError, match="either a Redis URL or client="):
        RedisStore(**arguments, key=KEY)  # type: ignore[arg-type]


def test_the_repr_of_a_redis_store_shows_no_password() -> None:
    """Nor does the error for a wrong URL."""
    assert repr(RedisStore("redis://:secret@localhost", key=KEY)) == "RedisStore(prefix='seic', encrypted)"
    with pytest.raises(seic.ConfigurationError) as caught:
        RedisStore("http://:secret@localhost", key=KEY)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("place", ["memory", "file://{folder}/a", "redis://:secret@localhost:1/0"])
def test_equal_variables_give_equal_stores(tmp_path: Path, place: str) -> None:
    """So clients of two such configurations may share a token; another key or place does not."""
    place = place.format(folder=tmp_path.as_posix())
    one, other = (config(SEIC_STORE=place, SEIC_STORE_KEY=KEY) for _ in range(2))

    assert one.store == other.store
    assert hash(one.store) == hash(other.store)
    seic.Client(other, auth=seic.OAuth2Auth(one))
    if place != "memory":
        assert one.store != config(SEIC_STORE=place, SEIC_STORE_KEY=f"another {KEY}").store
        assert one.store != config(SEIC_STORE=f"{place}1", SEIC_STORE_KEY=KEY).store


def test_an_invalid_store_keeps_its_secrets() -> None:
    """Crash reporters record the variables of each frame, and their reprs."""
    for build in (
        lambda: RedisStore("redis://:hunter2@localhost", key="hunter2"),
        lambda: RedisStore("http://:hunter2@localhost", key=KEY),
        lambda: seic.FileStore("tokens", key="hunter2"),
    ):
        with pytest.raises(seic.ConfigurationError) as caught:
            build()
        error: BaseException | None = caught.value
        shown: list[str] = []
        while error is not None:
            frames = [
                frame for frame, _ in traceback.walk_tb(error.__traceback__) if "seic" in frame.f_globals["__name__"]
            ]
            shown += [repr(value) for frame in frames for value in frame.f_locals.values()]
            error = error.__context__
        assert "hunter2" not in "".join(shown)
