"""A PEM file of authorities is read without cryptography, with the facts that cryptography finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from seic._tls.trust import read_trust_store
from tests._support.pki import Minted, authority, mint

ROOT = authority("Plain Root", 90)


@pytest.mark.parametrize(
    "issuer",
    [
        *(pytest.param(mint("Root", ca=True, key=key), id=key) for key in ("rsa", "rsa3072", "ec", "ec384", "ed25519")),
        pytest.param(mint("Intermediate", ca=True, issuer=ROOT), id="intermediate"),
    ],
)
def test_the_facts_are_those_of_cryptography(issuer: Minted) -> None:
    """As DER, cryptography reads the same certificate."""
    facts = [attrs.asdict(read_trust_store(form).authorities[0]) for form in (issuer.pem, issuer.der)]
    assert facts[0] == facts[1]


@pytest.mark.parametrize(("content", "is_loaded"), [(ROOT.pem, False), (ROOT.der, True)], ids=["pem", "der"])
def test_cryptography_is_not_imported(content: bytes, is_loaded: bool, tmp_path: Path) -> None:
    """Its import would be a quarter of a process's first call; DER may be a key store or anything else."""
    file = tmp_path / "ca"
    file.write_bytes(content)
    program = f"import sys, seic; seic.create_ssl_context(ca={str(file)!r}); print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(is_loaded)
