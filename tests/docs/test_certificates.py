"""docs/certificates.md: its examples and figures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from seic._pool import DRAIN_LIMIT
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_FILE = "docs/certificates.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return the gateway of the examples, with their files in the working directory."""
    monkeypatch.chdir(tmp_path)
    with Sandbox(username="svc-user") as sandbox:
        set_environment(sandbox, monkeypatch)
        key = load_pem_private_key(sandbox.client_key_pem, None)
        encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
        folder = tmp_path / "tls"
        folder.mkdir()
        for name, content in {
            "client.pem": sandbox.client_certificate_pem,
            "client.key": encrypted,
            "tls/tls.crt": sandbox.client_certificate_pem,
            "tls/tls.key": sandbox.client_key_pem,
        }.items():
            (tmp_path / name).write_bytes(content)
            (tmp_path / name).chmod(0o600)
        monkeypatch.setenv("CLIENT_PEM", sandbox.client_certificate_pem.decode())
        monkeypatch.setenv("CLIENT_KEY", encrypted.decode())
        yield sandbox
        shutil.rmtree(folder)


def test_the_examples_run(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """They run in order, against a gateway that requires a certificate, and print what the page shows."""
    run_blocks(_FILE)
    printed = capsys.readouterr().out

    assert sandbox.counts.mtls.api_calls == 3
    for label in re.findall(r"^(subject|issuer|serial|sha256|valid|key|chain|from) ", _TEXT, re.MULTILINE):
        assert f"\n{label} " in f"\n{printed}"
    for said in re.findall(r"print\(.*\)  # (client\.key .*)$", _TEXT, re.MULTILINE):
        assert said in printed
    assert "passphrase\n" not in printed
    assert "proxy-password" not in printed


def test_the_figures_are_those_of_the_code() -> None:
    """The page has the values of the constants."""
    assert DRAIN_LIMIT == 5 * 60
    said = "the first request that comes five minutes or more after it noticed the rotation"
    assert said in " ".join(_TEXT.split())
