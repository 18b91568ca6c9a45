"""An identity on a bench: its files, clocks and events in a test's hands."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path

import seic
from seic._identity import Credential, Identity
from seic._listeners import Listeners
from seic._tls.context import CertificateSource
from seic.events import Event
from tests._support.pki import NOW, Minted, authority, mint

#: Checks until a change is taken up, and until a bad pair is believed to be bad.
SETTLED = 2
BELIEVED = 11
#: Checks in a minute, after which what could not be read is read again.
MINUTE = 600
#: What the rotations of the tests lead to: another type of key than the one before.
NEW = mint(issuer=authority(), key="rsa", number=6)


class Bench:
    """An identity with its files, its clocks in hand and its events in a list; no thread watches it."""

    def __init__(
        self,
        folder: Path,
        root: Minted,
        source: CertificateSource | None = None,
        *,
        ca: bytes | os.PathLike[str] | None = None,
    ) -> None:
        self.folder = folder
        self.root = root
        self.now = NOW
        self.seconds = 1000.0
        self.events: list[Event] = []
        if source is None:
            source = seic.ClientCertificate.load(folder / "client.pem", key=folder / "client.key")
        self.identity = Identity(
            source,
            ca=root.pem if ca is None else ca,
            now=lambda: self.now,
            monotonic=lambda: self.seconds,
            watch=False,
        )
        self.listeners = Listeners(self.events.append)
        self.identity.add_listener(self.listeners)

    def current(self) -> Credential:
        """Return the credential in service; the first call reads it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", seic.CertificateWarning)
            return self.identity.current()

    def check(self, times: int = SETTLED) -> None:
        """Check some times, as the watching thread does, and each time wait for what comes of it."""
        for _ in range(times):
            self.identity.check_for_update(wait=True)

    def check_without_waiting(self, times: int = 1) -> None:
        """Check some times, whatever comes of it."""
        for _ in range(times):
            self.identity.check_for_update()

    def check_urgently(self) -> None:
        """Check as a refused handshake does."""
        self.identity.check_for_update(urgent=True)

    @staticmethod
    def wait_for_readings() -> None:
        """Wait until no source is being read."""
        for thread in threading.enumerate():
            if thread.name == "seic-call":
                thread.join(10)

    @property
    def presented(self) -> bytes:
        """The certificate in service."""
        certificate = self.current().certificate
        assert certificate is not None
        return certificate.leaf.der


def replace(folder: Path, minted: Minted, *names: str) -> None:
    """Put files of the pair in place by renaming, the named ones or both."""
    staged = folder / "staged"
    staged.mkdir(exist_ok=True)
    minted.write(staged)
    for name in names or ("client.key", "client.pem"):
        (staged / name).replace(folder / name)


class Vault:
    """A callback that returns what it is told to, and counts its calls."""

    def __init__(self, minted: Minted) -> None:
        self.minted = minted
        self.error: BaseException | None = None
        self.calls = 0

    def __call__(self) -> seic.ClientCertificate:
        """Return the present certificate, or fail."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return seic.ClientCertificate.load(self.minted.pair)
