"""docs/examples/store.py: an encrypted store on disk, shared by processes."""

from __future__ import annotations

import runpy
import subprocess
import sys
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
    """Return the names of the example."""
    return SimpleNamespace(**runpy.run_path(str(_STORE)))


def token(*, ended: bool) -> seic.Token:
    """Return a token that expired more than an hour ago, or a valid one."""
    age = 2 * 3600.0 if ended else 0.0
    return seic.Token(access_token="access-1", expires_in=60.0, obtained_at=time.time() - age, extra={"a": 1})


def test_a_saved_token_is_loaded(example: SimpleNamespace, tmp_path: Path) -> None:
    """In another worker too, and encrypted."""
    key = Fernet.generate_key().decode()
    kept = token(ended=False)
    example.EncryptedFolder(tmp_path, key=key).save("a", kept)
    other = example.EncryptedFolder(tmp_path, key=key)

    assert other.load("a") == kept
    assert b"access-1" not in (tmp_path / "a").read_bytes()
    other.delete("a")
    assert other.load("a") is None


def test_expired_tokens_are_deleted(example: SimpleNamespace, tmp_path: Path) -> None:
    """Sessions without a logout are deleted too; valid tokens, and those of unknown lifetime, are kept."""
    key = Fernet.generate_key().decode()
    store = example.EncryptedFolder(tmp_path, key=key)
    store.save("living", token(ended=False))
    store.save("ended", token(ended=True))
    store.save("unknown", seic.Token(access_token="a"))

    example.EncryptedFolder(tmp_path, key=key).save("last", token(ended=False))

    assert {path.name for path in tmp_path.iterdir()} == {"living", "unknown", "last", "claims"}


@pytest.mark.skipif(sys.platform == "win32", reason="the example has no lock on Windows")
def test_one_worker_claims_a_token(example: SimpleNamespace, tmp_path: Path) -> None:
    """Another process cannot claim it until it is released, or until its process ends; other tokens are free."""
    key = Fernet.generate_key().decode()
    one, other = "a" * 64, "b" * 64
    store = example.EncryptedFolder(tmp_path, key=key)
    worker = (
        f"import runpy; store = runpy.run_path({str(_STORE)!r})['EncryptedFolder']({str(tmp_path)!r}, key={key!r}); "
        f"print([store.claim(key, 10.0) for key in ({one!r}, {other!r})])"
    )

    def claimed_elsewhere() -> str:
        return subprocess.run([sys.executable, "-c", worker], capture_output=True, text=True, check=True).stdout.strip()

    assert store.claim(one, 10.0)
    assert claimed_elsewhere() == "[False, True]"
    store.release(one)
    assert claimed_elsewhere() == "[True, True]"
    assert store.claim(one, 10.0)
