"""Reload a value from its source: files that are watched, or a callback that is called from time to time.

A client certificate and a trust store are followed in the same way. A value that does not load leaves the last good one
in service and is reported once. Sources are read on a daemon thread, since a vault or a file system may hang; callers
wait for a limited time.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from seic._concurrency import start_thread
from seic._errors import CertificateError, ConfigurationError, SeicError
from seic._event_types import CertificateRejected, Emit, Event
from seic._files import read_regular_file, reads_in_place
from seic._x509.credential_files import MAX_FILE_BYTES
from seic._x509.reasons import Reason, certificate_error

#: A file's state on disk, with links followed: times, size, inode and device; None for a missing file. A rename, a
#: write in place and a swapped link all change it.
FileState: TypeAlias = tuple[int, ...] | None
#: The state of each file of a source.
Signature: TypeAlias = tuple[FileState, ...]

#: Seconds that a caller waits for a source, counted from the start of the reading; then the value in service is used.
PATIENCE = 10.0
#: The same for the first value, without which nothing works.
FIRST_PATIENCE = 30.0

# Checks during which new files may be inconsistent, about a second: key and certificate are written one by one.
_SETTLE_CHECKS = 10
# The most seconds after which files that did not load are read again although they did not change: their passphrase may
# come later, or a vault may have been down. The first pause is a second, each further one twice as long.
_RETRY_INTERVAL = 60.0
# Seconds between two readings because of refused handshakes, of a callback or of files that did not load.
_URGENT_INTERVAL = 1.0

_T = TypeVar("_T")


def file_state(path: str) -> FileState:
    """Return a file's state on disk."""
    try:
        stat = os.stat(path)  # noqa: PTH116 - all files are asked twice a second
    except (OSError, ValueError):  # not there, or no path at all
        return None
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, stat.st_dev


def file_signature(files: tuple[Path, ...]) -> Signature:
    """Return the files' state on disk."""
    return tuple([file_state(os.fspath(file)) for file in files])


def read_guarded(read: Callable[[], _T], label: str) -> _T:
    """Call the user's code and return what it returns.

    Raises:
        CertificateError: It failed; the exception is the cause.
        ConfigurationError: It raised one.
    """
    try:
        return read()
    except (CertificateError, ConfigurationError):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # the user stops the program
        # It may raise anything, SystemExit and CancelledError too, with a secret in its frames.
        if not isinstance(error, Exception):
            error.__traceback__ = None
        text = f"the new certificate could not be had: {type(error).__name__}"
        raise certificate_error(Reason.SOURCE_FAILED, label, text) from error


class _Reading:
    """One reading of a source, shared by all callers that wait for it."""

    def __init__(self, began: float, *, requested: bool) -> None:
        self.began = began
        #: Whether a caller asked for exactly this: then a failure is final.
        self.requested = requested
        self.answered = False
        self.event: Event | None = None
        self.error: SeicError | None = None
        #: Set after the listeners were told.
        self.done = threading.Event()


class Reloader(Generic[_T]):
    """A value that follows its source: files, a callback, or bytes, which never change.

    Every method but `get_nowait` may block. All may be called from any thread.

    Args:
        read: Reads the source; it may raise anything.
        label: The source's name in errors.
        accept: Is called with this and a fresh value; it sets `value`, unless the value is the same, and returns the
            event to tell. It raises CertificateError for a value that must not be used.
        emit: Tells the listeners, on the thread that read.
        files: The files to watch; of a directory, files that are added, removed or renamed count.
        initial: A value that was read before.
        signature: The state of the files at that time.
        interval: Seconds between two calls of a callback; None for files and bytes.
        monotonic: The clock of intervals, in seconds.
    """

    def __init__(
        self,
        read: Callable[[], _T],
        label: str,
        *,
        accept: Callable[[Reloader[_T], _T], Event | None],
        emit: Emit,
        files: tuple[Path, ...] = (),
        initial: _T | None = None,
        signature: Signature | None = None,
        interval: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        #: The value in service; replaced, never changed.
        self.value: _T | None = None
        #: Set by `accept` for a value that lacks what could not be read: it is read again after a while.
        self.is_partial = False
        #: Set by `accept` for a value that is complete, so that its refusal is reported at once, and reconsidered as
        #: soon as the value in service is refused.
        self.is_final = False
        self._read = read
        self._label = label
        self._accept = accept
        self._emit = emit
        self._initial = initial
        self._interval = interval
        self._monotonic = monotonic
        self._called_at = monotonic()
        #: Whether the last check found files that have changed and were neither loaded nor refused.
        self.is_settling = False
        self._files = files
        self._paths = [os.fspath(file) for file in files]
        #: The files as they were when they were loaded.
        self._loaded = signature
        #: The files as they were when they were last seen.
        self.latest: Signature | None = None
        #: Checks since they last changed, and the time at which they did not load.
        self._checks = 0
        self._failed_at: float | None = None
        #: Failures since then.
        self._failures = 0
        #: By process: a thread of the parent does not exist in its child.
        self._readings: dict[int, _Reading] = {}
        #: The problems that were reported since the last good value.
        self._reported: dict[object, object] = {}

    def get_nowait(self) -> _T | None:
        """Return the value in service; None if it has to be read first."""
        if self.value is None and self._initial is not None:
            is_as_loaded = not self._files or file_signature(self._files) == self._loaded
            self.value = self._initial if is_as_loaded else None
        return self.value

    def get(self) -> _T:
        """Return the value in service; the first call reads it.

        Raises:
            CertificateError: The first value cannot be used, or its source does not answer.
        """
        while (value := self.get_nowait()) is None:
            try:
                self._wait(self._start()[0], FIRST_PATIENCE)
            except CertificateError:
                if self._initial is None:
                    raise
                self.value = self._initial
        return value

    def check(
        self,
        *,
        urgent: bool,
        wait: bool = False,
        due: bool = False,
        file_state: Callable[[str], FileState] = file_state,
    ) -> None:
        """Read the source if there may be something new; a failure becomes an event.

        Args:
            urgent: Do not wait until files settle or an interval is over.
            wait: Wait for the reading, for at most `PATIENCE` seconds.
            due: Whether there is another reason to read.
            file_state: Returns a file's state on disk.
        """
        reading = self._readings.get(os.getpid())
        if reading is None:
            if not self._is_due(file_state, urgent=urgent) and not due:
                return
            reading, _ = self._start()
            if not wait:
                return
        if wait:
            reading.done.wait(self._time_left(reading, PATIENCE))
        if self.value is not None and not reading.answered and self._time_left(reading, PATIENCE) == 0:
            self._report(self._no_answer(PATIENCE))

    def reload(self) -> bool:
        """Read the source now; return whether the value is new.

        Raises:
            CertificateError: The value cannot be used, or the source does not answer; the last good value stays.
            ConfigurationError: The source cannot be read again.
        """
        if self.value is None:
            self.value = self._initial
        self.get()
        while True:
            reading, is_ours = self._start(requested=True)
            try:
                self._wait(reading, PATIENCE)
            except SeicError:
                if is_ours or not reading.answered:
                    raise
            # Another reading may have begun before the caller's change.
            if is_ours:
                return reading.event is not None

    def put_back(self, value: _T | None) -> None:
        """Put an earlier value in service again; the source is read after a while, or when that one is refused."""
        if value is not self.value:
            self.value, self.is_final = value, True
            self._note_failure()

    def _is_due(self, file_state: Callable[[str], FileState], *, urgent: bool) -> bool:
        if self._interval is not None:
            return self._monotonic() - self._called_at >= (_URGENT_INTERVAL if urgent else self._interval)
        signature = tuple(map(file_state, self._paths))
        if not signature or signature == self._loaded:
            self.is_settling = False
            return False
        if signature != self.latest:
            # It settles for one check: a file may look complete except for the end of its chain.
            self.latest, self._checks, self._failures, self._failed_at = signature, 0, 0, None
            self.is_settling = True
            return urgent
        self.is_settling = self._failed_at is None
        # Refused handshakes may come by the thousand, so they do not count as time.
        self._checks += not urgent
        pause = _URGENT_INTERVAL if urgent else min(2.0 ** (self._failures - 1), _RETRY_INTERVAL)
        if self._failed_at is None or (urgent and self.is_final):
            return True
        return self._monotonic() - self._failed_at >= pause

    def _start(self, *, requested: bool = False) -> tuple[_Reading, bool]:
        """Return the reading in progress, and whether this call started it."""
        process, fresh = os.getpid(), _Reading(self._monotonic(), requested=requested)
        # `setdefault` is atomic: of two threads one starts a reading.
        reading = self._readings.setdefault(process, fresh)
        if reading is fresh:
            start_thread(self._run, process, reading, inherit_context=False)
        return reading, reading is fresh

    def _run(self, process: int, reading: _Reading) -> None:
        rejected: CertificateError | None = None
        version: object = None
        # The wait for the first value is longer than that for a file.
        before = reads_in_place.set(self.value is not None)
        try:
            try:
                self._load(reading)
            except SeicError as error:
                reading.error = error
            except Exception as error:  # noqa: BLE001 - the callers that wait must learn of it
                reading.error = self._error(f"the new certificate could not be used: {type(error).__name__}")
                reading.error.__cause__ = error
            is_final = reading.requested or self.is_final or not self._files or self._checks >= _SETTLE_CHECKS
            if self.value is not None and is_final and isinstance(reading.error, CertificateError):
                rejected, version = reading.error, tuple([_digest(file) for file in self._files])
                self._note_failure()
            # Nobody waits for the listeners.
            reads_in_place.reset(before)
            reading.answered = True
            # First: a listener may have the source read again.
            del self._readings[process]
            if reading.event is not None:
                self._emit(reading.event)
            if rejected is not None:
                self._report(rejected, version)
        finally:
            reading.done.set()

    def _load(self, reading: _Reading) -> None:
        self._called_at = self._monotonic()
        before = file_signature(self._files)
        fresh = read_guarded(self._read, self._label)
        if file_signature(self._files) != before:
            self._checks = 0
            raise self._error("the files changed while they were read; they are read again at the next check")
        self.latest, self.is_final = before, False
        reading.event = self._accept(self, fresh)
        self._loaded, self._failed_at = before, None
        if self.is_partial:
            self._note_failure()
        self.is_final = False
        self._reported.clear()

    def _note_failure(self) -> None:
        """Have the files read again when they change, or after a while."""
        self._loaded, self._failed_at = None, self._monotonic()
        # Not without end, which no float can hold.
        self._failures = min(self._failures + 1, 10)

    def _wait(self, reading: _Reading, patience: float) -> None:
        reading.done.wait(self._time_left(reading, patience))
        if not reading.answered:
            error = self._no_answer(patience)
            if self.value is not None:
                self._report(error)
            raise error
        if reading.error is not None:
            raise reading.error.fresh() from reading.error.__cause__

    def _time_left(self, reading: _Reading, patience: float) -> float:
        # A caller that comes late to a source that hangs goes on at once.
        return max(0.0, reading.began + patience - self._monotonic())

    def _no_answer(self, seconds: float) -> CertificateError:
        serving = "" if self.value is None else "; the last good certificate stays in service"
        return self._error(
            f"it gave no answer in {seconds:g} seconds, and is not asked again until it does{serving}; give it a time "
            "limit of its own"
        )

    def _error(self, text: str) -> CertificateError:
        return certificate_error(Reason.SOURCE_FAILED, self._label, text)

    def _report(self, error: CertificateError, version: object = None) -> None:
        if self._reported.setdefault((error.reason, error.path, version), error) is not error:
            return
        reason = error.reason or Reason.SOURCE_FAILED.value
        self._emit(CertificateRejected(path=error.path or self._label, reason=reason, problem=error.message))


def _digest(file: Path) -> str | None:
    try:
        data = read_regular_file(file, MAX_FILE_BYTES)
    except OSError:
        return None
    return None if data is None else hashlib.sha256(data).hexdigest()
