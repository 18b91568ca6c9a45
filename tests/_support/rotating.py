"""An identity on a bench: its files, clocks and events in a test's hands."""

from __future__ import annotations

from pathlib import Path

from seic._events import Event
from seic._tls.certificate import ClientCertificate
from seic._tls.rotation import CertificateSource, Identity
from tests._support.pki import NOW, Minted, authority, mint

#: Looks until a change is taken up, and until a bad pair is believed to be bad.
SETTLED = 2
BELIEVED = 11
#: Looks in a minute, after which what could not be read is read again.
MINUTE = 600
#: What the rotations of the tests lead to: another kind of key than the one before.
NEW = mint(issuer=authority(), key="rsa", number=6)


class Bench:
    """An identity with its files, its clocks in hand and its events in a list."""

    def __init__(self, folder: Path, root: Minted, source: CertificateSource | None = None) -> None:
        self.folder = folder
        self.root = root
        self.now = NOW
        self.seconds = 1000.0
        self.events: list[Event] = []
        if source is None:
            source = ClientCertificate.load(folder / "client.pem", key=folder / "client.key")
        self.identity = Identity(
            source,
            ca=root.pem,
            emit=self.events.append,
            now=lambda: self.now,
            monotonic=lambda: self.seconds,
        )

    def look(self, times: int = SETTLED) -> None:
        """Look some times, as the watching thread does, and each time wait for what comes of it."""
        for _ in range(times):
            done = self.identity.look()
            assert done is None or done.wait(10)

    def look_without_waiting(self, times: int = 1) -> None:
        """Look some times, whatever comes of it."""
        for _ in range(times):
            self.identity.look()

    @property
    def presented(self) -> bytes:
        """The certificate in service."""
        return self.identity.hold().certificate.leaf.der


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

    def __call__(self) -> ClientCertificate:
        """Return the present certificate, or fail."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return ClientCertificate.load(self.minted.pair)
