"""Where something new comes from, and when there is something to read: files on disk, or a callback of the user's.

What becomes of it is decided in `rotation` and `authorities`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

from seic._errors import CertificateError, ConfigurationError
from seic._tls.certificate import ClientCertificate
from seic._tls.credential_files import MOST_BYTES, read_regular
from seic._tls.reasons import Reason, certificate_error

#: The files' state on disk, behind all links: times, size, inode and device of each; None where there is none. A
#: rename, a write in place and a swapped link all change it.
Signature: TypeAlias = tuple[tuple[int, ...] | None, ...]

_T = TypeVar("_T")

# How many looks new files may stay in disagreement before that is believed, about a second: writing key and certificate
# one after the other takes a moment.
_PATIENCE = 10
# How many looks it takes until files that did not load are read again though nothing changed on disk, about a minute: a
# vault that has the passphrase may have been down, or this process out of file descriptors.
_AGAIN = 600
# Seconds between two calls of a callback that refused handshakes ask for, however many are refused.
_BETWEEN_URGENT_CALLS = 1.0


class Renewal(Protocol):
    """What `rotation` asks of a certificate's source."""

    @property
    def label(self) -> str:
        """What errors call it."""
        ...

    def is_due(self, *, urgent: bool) -> bool:
        """Whether there may be something new to read; every look asks once."""
        ...

    def read(self) -> ClientCertificate:
        """Return what is there now; raise CertificateError where it cannot work."""
        ...

    def is_settled(self) -> bool:
        """Whether a failure to read is to be believed, or may pass by the next look."""
        ...

    def dealt_with(self) -> None:
        """Take note that what was read last was taken: it is not due again until it changes."""
        ...

    def put_off(self) -> None:
        """Take note that what was read last did not load: it is due again when it changes, or after a while."""
        ...

    def version(self) -> object:
        """Return what tells the content that was read last from other content, good or bad."""
        ...


class FileRenewal(Generic[_T]):
    """Files, and what is made of them; what was given as bytes has none, and is never due.

    Args:
        files: What to look at; of a directory, whether something in it came, went or was renamed.
        read: Reads them.
        label: What errors call them.
    """

    def __init__(self, files: tuple[Path, ...], read: Callable[[], _T], label: str) -> None:
        self._files = files
        self._read = read
        self.label = label
        self._dealt_with: Signature | None = None
        self._latest: Signature | None = None
        self._looks = 0
        self._put_off_at: int | None = None

    def is_due(self, *, urgent: bool) -> bool:
        """Compare what is on disk with what was dealt with last, and let it settle for one look."""
        if not self._files:
            return False
        signature = _signature(self._files)
        if signature == self._dealt_with:
            return False
        if signature != self._latest:
            # A file that is still being written may look whole but for the end of its chain.
            self._latest = signature
            self._looks = 0
            self._put_off_at = None
            return urgent
        # Refused handshakes may come by the thousand, and are no measure of time.
        self._looks += not urgent
        return self._put_off_at is None or self._looks - self._put_off_at >= (_PATIENCE if urgent else _AGAIN)

    def read(self) -> _T:
        """Read them once."""
        before = _signature(self._files)
        fresh = _guarded(self._read, self.label)
        if _signature(self._files) != before:
            self._looks = 0
            raise certificate_error(
                Reason.SOURCE_FAILED,
                self.label,
                "the files changed while they were read; they are read again at the next look",
            )
        self._latest = before
        return fresh

    def is_settled(self) -> bool:
        """Believe it when the files have stayed as they are for some looks."""
        return self._looks >= _PATIENCE

    def dealt_with(self) -> None:
        """Remember the files as they were when they were read."""
        self._dealt_with = self._latest

    def put_off(self) -> None:
        """Remember when that was."""
        self._dealt_with = None
        self._put_off_at = self._looks

    def version(self) -> object:
        """Digest the files."""
        return tuple(_digest(file) for file in self._files)


#: What errors call a callback.
CALLBACK = "the certificate callback"


def ask(callback: Callable[[], ClientCertificate]) -> ClientCertificate:
    """Call a callback.

    Raises:
        CertificateError: It failed, or returned something else.
    """
    try:
        certificate = _guarded(callback, CALLBACK)
    except ConfigurationError as error:
        raise certificate_error(
            Reason.SOURCE_FAILED, CALLBACK, f"it is not configured as it should be: {error.message}"
        ) from error
    if not isinstance(certificate, ClientCertificate):
        raise certificate_error(
            Reason.SOURCE_FAILED,
            CALLBACK,
            f"it must return what ClientCertificate.load returns, not {type(certificate).__name__}",
        )
    return certificate


class CallbackRenewal:
    """A callback that returns the present certificate, asked from time to time."""

    label = CALLBACK

    def __init__(
        self, callback: Callable[[], ClientCertificate], *, interval: float, monotonic: Callable[[], float]
    ) -> None:
        self._callback = callback
        self._interval = interval
        self._monotonic = monotonic
        self._called_at = monotonic()

    def is_due(self, *, urgent: bool) -> bool:
        """Whether the pause since the last call is over."""
        return self._monotonic() - self._called_at >= (_BETWEEN_URGENT_CALLS if urgent else self._interval)

    def read(self) -> ClientCertificate:
        """Call it."""
        self._called_at = self._monotonic()
        return ask(self._callback)

    def is_settled(self) -> bool:
        """Believe it at once: a callback returns a whole pair or none."""
        return True

    def dealt_with(self) -> None:
        """Do nothing: time alone makes the next call due."""

    def put_off(self) -> None:
        """Do nothing, as in `dealt_with`."""

    def version(self) -> object:
        """Tell nothing: what a callback would have returned is not known."""
        return None


def _guarded(read: Callable[[], _T], label: str) -> _T:
    try:
        return read()
    except (CertificateError, ConfigurationError):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # the user's, who wants the program to stop
        # The user's own code (a vault's client, a callable password) may fail in any way, SystemExit and CancelledError
        # too, and say a secret in it.
        if not isinstance(error, Exception):
            error.__traceback__ = None  # it came past what hides the frames of `load`
        raise certificate_error(
            Reason.SOURCE_FAILED, label, f"the new certificate could not be had: {type(error).__name__}"
        ) from error


def _signature(files: tuple[Path, ...]) -> Signature:
    return tuple(_state(file) for file in files)


def _state(file: Path) -> tuple[int, ...] | None:
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_dev


def _digest(file: Path) -> str | None:
    try:
        data = read_regular(file, MOST_BYTES)
    except OSError:
        return None
    return None if data is None else hashlib.sha256(data).hexdigest()
