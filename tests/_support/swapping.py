"""Certificates in files, replaced as certificate managers do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import seic
from tests._support.edge import Edge
from tests._support.pki import Minted


def settings_for(edge: Edge, root: Minted, **changes: Any) -> seic.Config:
    """Return a configuration for an nginx over mutual TLS; `changes` must include `certificate`."""
    settings: dict[str, Any] = {
        "provider": seic.SEI_GATEWAY,
        "hosts": seic.Hosts(mtls=edge.host, api=edge.host),
        "client_id": "AppKey-1",
        "client_secret": "AppSecret-1",
        "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
        "ca": root.pem,
    }
    return seic.Config(**{**settings, **changes})


class PairOnDisk:
    """`client.pem` and `client.key` in a folder.

    Args:
        folder: The folder.
        pair: The first pair.
    """

    def __init__(self, folder: Path, pair: Minted) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = pair.write(folder)

    def load(self) -> seic.ClientCertificate:
        """Load the pair as a user does."""
        return seic.ClientCertificate.load(self.certificate, key=self.key)

    def put(self, pair: Minted, *, key_first: bool = True) -> None:
        """Replace both files, each by an atomic rename."""
        staged = self._folder / "staged"
        staged.mkdir(exist_ok=True)
        certificate, key = pair.write(staged)
        moves = [(key, self.key), (certificate, self.certificate)]
        for new, old in moves if key_first else reversed(moves):
            new.replace(old)
