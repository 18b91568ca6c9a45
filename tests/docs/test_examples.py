from __future__ import annotations

import runpy
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

import seic
from tests._support.documents import ROOT

_STORE = ROOT / "docs" / "examples" / "store.py"


@pytest.fixture
def example() -> SimpleNamespace:
    """The example's store, as whoever copies it has it."""
    return SimpleNamespace(**runpy.run_path(str(_STORE)))


def token(*, ended: bool) -> seic.Token:
    """Return a token that ended more than an hour ago, or lives."""
    age = 2 * 3600.0 if ended else 0.0
    return seic.Token(access_token="access-1", expires_in=60.0, obtained_at=time.time() - age, extra={"a": 1})


def test_what_is_kept_comes_back(example: SimpleNamespace, tmp_path: Path) -> None:
    """In another worker, too, and readable to nobody."""
    key = Fernet.generate_key().decode()
    kept = token(ended=False)
    example.SealedFolder(tmp_path, key=key).save("a", kept)
    other = example.SealedFolder(tmp_path, key=key)

    assert other.load("a") == kept
    assert b"access-1" not in (tmp_path / "a").read_bytes()
    other.delete("a")
    assert other.load("a") is None


def test_what_has_ended_is_forgotten(example: SimpleNamespace, tmp_path: Path) -> None:
    """Of sessions that people left without a logout nothing stays; what lives, or may, does."""
    key = Fernet.generate_key().decode()
    store = example.SealedFolder(tmp_path, key=key)
    store.save("living", token(ended=False))
    store.save("ended", token(ended=True))
    store.save("unknown", seic.Token(access_token="a"))

    example.SealedFolder(tmp_path, key=key).save("last", token(ended=False))

    assert {path.name for path in tmp_path.iterdir()} == {"living", "unknown", "last"}
