"""A key in memory reaches OpenSSL without a file, or through one that is encrypted and wiped."""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seic import CertificateError, ClientCertificate, Reason, create_ssl_context
from tests._support.pki import Minted, mint, server
from tests._support.tls_servers import TlsServer, call


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _works(client: Minted, root: Minted) -> bool:
    context = create_ssl_context(certificate=ClientCertificate.load(client.pair), ca=root.pem)
    with TlsServer(server(root), trusts=root) as far:
        return call(context, far.port).endswith(b"ok") and far.peers == [client.der]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_on_linux_no_file_is_made(kind: str, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes through anonymous memory, and its descriptor is closed afterwards."""
    monkeypatch.setattr(tempfile, "mkstemp", lambda *_, **__: pytest.fail("a file was made"))
    client = mint(issuer=root, key=kind)
    before = _descriptors()
    ClientCertificate.load(client.pair)
    assert _works(client, root)
    assert _descriptors() == before


def _forbid_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "memfd_create", forbidden)


def _forget_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")


def _unmount_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path, **how: not str(path).startswith("/proc/") and exists(path, **how))


@pytest.mark.parametrize("without", [_forbid_memfd, _forget_memfd, _unmount_proc])
@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_elsewhere_it_is_a_private_encrypted_file_that_is_wiped(
    *,
    kind: str,
    without: Callable[[pytest.MonkeyPatch], None],
    root: Minted,
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only this user can read the file, the key in it is encrypted, and it is overwritten with zeros."""
    client = mint(issuer=root, key=kind)
    seen: dict[str, Any] = {}
    twin = tmp_path / "twin"

    def load_cert_chain(context: ssl.SSLContext, path: str, password: str) -> None:
        seen.update(mode=stat.S_IMODE(Path(path).stat().st_mode), data=Path(path).read_bytes(), password=password)
        twin.hardlink_to(path)

    certificate = ClientCertificate.load(client.pair)
    before = _descriptors()
    without(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_cert_chain", load_cert_chain)
        create_ssl_context(certificate=certificate, ca=root.pem)

    assert seen["mode"] == 0o600
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in seen["data"]
    assert b"-----BEGIN PRIVATE KEY-----" not in seen["data"]
    assert len(seen["password"]) == 64
    assert list(temporary.iterdir()) == []
    assert twin.read_bytes() == bytes(len(seen["data"]))
    assert _descriptors() == before
    assert _works(client, root)


def test_a_refusal_leaves_no_file_behind(temporary: Path, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is wiped and removed if OpenSSL refuses its content."""
    _forget_memfd(monkeypatch)
    weak = ClientCertificate.load(mint(issuer=root, key="rsa1024").pair)
    with pytest.raises(CertificateError) as caught:
        create_ssl_context(certificate=weak, ca=root.pem)
    assert caught.value.reason == Reason.WEAK_KEY
    assert list(temporary.iterdir()) == []


def test_a_system_that_offers_neither_says_what_to_set(
    client: Minted, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anonymous memory and without a writable directory the error names TMPDIR."""
    certificate = ClientCertificate.load(client.pair)
    _forget_memfd(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(CertificateError, match="set TMPDIR to a directory") as caught:
        create_ssl_context(certificate=certificate, ca=root.pem)
    assert caught.value.reason == Reason.UNREADABLE
