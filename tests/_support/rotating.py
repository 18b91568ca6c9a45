"""An identity with manual clocks, files and recorded events."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import seic
from seic._credential import Credential
from seic._identity import Identity
from seic._listeners import Listeners
from seic._tls.context import CertificateSource
from seic._transport import identity_of
from seic.events import Event
from tests._support.pki import NOW, Minted, authority, mint

#: The checks until a change is loaded, and until an invalid pair is reported.
SETTLED = 2
BELIEVED = 11
#: The seconds after which an unreadable file is read again.
MINUTE = 60
#: The pair of the rotations: another type of key than before.
NEW = mint(issuer=authority(), key="rsa", number=6)


class Bench:
    """An identity with its files, manual clocks and a list of events; no thread checks it."""

    def __init__(
        self,
        folder: Path,
        root: Minted,
        source: CertificateSource | None = None,
        *,
        ca: Any = None,
        watch: bool = False,
        callback_interval: float = 60.0,
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
            callback_interval=callback_interval,
            watch=watch,
        )
        self._listeners: list[Listeners] = []
        self.listen(self.events.append)

    def listen(self, listener: Callable[[Event], object]) -> None:
        """Tell a listener of each rotation."""
        self._listeners.append(Listeners(listener))
        self.identity.add_listener(self._listeners[-1])

    def current(self) -> Credential:
        """Return the credential in use; the first call reads it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", seic.CertificateWarning)
            return self.identity.current()

    def check(self, times: int = SETTLED) -> None:
        """Check some times, as the watching thread does, and wait for the result of each check."""
        for _ in range(times):
            self.identity.check_for_update(wait=True)

    def check_without_waiting(self, times: int = 1) -> None:
        """Check some times without waiting."""
        for _ in range(times):
            self.identity.check_for_update()

    def check_urgently(self) -> None:
        """Check as after a refused handshake."""
        self.identity.check_for_update(urgent=True)

    @staticmethod
    def wait_for_readings() -> None:
        """Wait until no source is being read."""
        for thread in threading.enumerate():
            if thread.name == "seic-call":
                thread.join(10)

    @property
    def presented(self) -> bytes:
        """The certificate in use."""
        certificate = self.current().certificate
        assert certificate is not None
        return certificate.leaf.der


def follow(
    ca: Any,
    listener: Callable[[Event], object] | None = None,
    *,
    monotonic: Callable[[], float] = time.monotonic,
) -> Identity:
    """Return an identity without a certificate that trusts these authorities; no thread watches it."""
    identity = Identity(None, ca=ca, watch=False, monotonic=monotonic)
    if listener is not None:
        _kept.append(Listeners(listener))
        identity.add_listener(_kept[-1])
    return identity


#: An identity holds its listeners weakly.
_kept: list[Listeners] = []


def connect(config: seic.Config) -> Identity:
    """Have the identity of a configuration in service, as its first connection does."""
    identity = identity_of(config)
    identity.current()
    return identity


def replace(folder: Path, minted: Minted, *names: str) -> None:
    """Replace files of the pair by renaming, the named ones or both."""
    staged = folder / "staged"
    staged.mkdir(exist_ok=True)
    minted.write(staged)
    for name in names or ("client.key", "client.pem"):
        (staged / name).replace(folder / name)


class Vault:
    """A callback with a given result, which counts its calls."""

    def __init__(self, minted: Minted) -> None:
        self.minted = minted
        self.error: BaseException | None = None
        self.calls = 0

    def __call__(self) -> seic.ClientCertificate:
        """Return the current certificate, or raise."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return seic.ClientCertificate.load(self.minted.pair)
