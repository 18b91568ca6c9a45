"""A run of the SDK with secrets planted in the sandbox, the certificate and the settings that it uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

import seic
from seic.sandbox import Sandbox
from tests._support.planted import Planted

PASSPHRASE = "phrase-of/the+key=%&é"


class Run:
    """A sandbox, the secrets planted in it, and the settings of its client."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self.folder = folder
        self.planted = Planted()
        self.planted.add_sandbox(sandbox)
        self.planted.add("passphrase", PASSPHRASE)
        pair = sandbox.issue_certificate()
        self.encrypted = pair.encode_key(PASSPHRASE.encode())
        self.planted.add_key(pair, self.encrypted)
        self.certificate = folder / "client.pem"
        self.key = folder / "client.key"
        self.certificate.write_bytes(pair.cert_pem)
        self.key.write_bytes(self.encrypted)
        self.key.chmod(0o600)

    def load(self, password: str = PASSPHRASE) -> seic.ClientCertificate:
        """Load the certificate with its encrypted key."""
        return seic.ClientCertificate.load(str(self.certificate), key=str(self.key), password=password)

    def config(self, **changes: Any) -> seic.Config:
        """The settings of the service account, with its certificate."""
        certificate = changes.pop("certificate", None) or self.load()
        return attrs.evolve(self.sandbox.config(certificate=True, **changes), certificate=certificate)
