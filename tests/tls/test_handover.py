"""A key in memory reaches OpenSSL without touching a disk, or encrypted and wiped where that cannot be."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.context import build_context
from seic._tls.reasons import Reason
from seic._tls.trust import read_trust
from tests._support.pki import Minted, mint, server
from tests._support.tls_servers import TlsServer, call


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def _works(client: Minted, root: Minted) -> bool:
    context = build_context(ClientCertificate.load(client.pair), read_trust(root.pem))
    with TlsServer(server(root), trusts=root) as far:
        return call(context, far.port).endswith(b"ok") and far.peers == [client.der]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files that is empty."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_on_linux_no_file_is_made(kind: str, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes through anonymous memory, whose descriptor is closed afterwards."""
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
    """The file is this user's alone, holds the key encrypted only, and leaves nothing but zeros."""
    client = mint(issuer=root, key=kind)
    seen: dict[str, Any] = {}
    twin = tmp_path / "twin"

    class Watched:
        def load_cert_chain(self, path: str, password: str) -> None:
            seen.update(mode=stat.S_IMODE(Path(path).stat().st_mode), data=Path(path).read_bytes(), password=password)
            twin.hardlink_to(path)

    certificate = ClientCertificate.load(client.pair)
    before = _descriptors()
    without(monkeypatch)
    from seic._tls.context import load_cert_chain_from_memory

    load_cert_chain_from_memory(Watched(), certificate.chain_pem, certificate.reveal_key())  # type: ignore[arg-type]

    assert seen["mode"] == 0o600
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in seen["data"]
    assert b"-----BEGIN PRIVATE KEY-----" not in seen["data"]
    assert len(seen["password"]) == 64
    assert list(temporary.iterdir()) == []
    assert twin.read_bytes() == bytes(len(seen["data"]))
    assert _descriptors() == before
    assert _works(client, root)


def test_a_refusal_leaves_no_file_behind(temporary: Path, root: Minted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is wiped and removed when OpenSSL refuses what is in it."""
    _forget_memfd(monkeypatch)
    weak = ClientCertificate.load(mint(issuer=root, key="rsa1024").pair)
    with pytest.raises(CertificateError) as caught:
        build_context(weak, read_trust(root.pem))
    assert caught.value.reason == Reason.WEAK_KEY
    assert list(temporary.iterdir()) == []


def test_a_system_that_offers_neither_says_what_to_set(
    client: Minted, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without anonymous memory and without a writable directory the error names TMPDIR."""
    certificate, trust = ClientCertificate.load(client.pair), read_trust(root.pem)
    _forget_memfd(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(CertificateError, match="set TMPDIR to a directory") as caught:
        build_context(certificate, trust)
    assert caught.value.reason == Reason.UNREADABLE
