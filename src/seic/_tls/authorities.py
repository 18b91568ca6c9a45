"""Authorities: whom a configuration trusts, followed when the file that `ca=` names changes.

Reading them stands in `trust`. What does not load leaves the last good ones in service and is reported once.
"""

from __future__ import annotations

from seic._errors import CertificateError
from seic._events import CertificateRejected, Emit, Event, TrustStoreReloaded
from seic._runtime import Lock
from seic._tls.credential_files import CredentialFile, Material
from seic._tls.reasons import Reason
from seic._tls.renewal import FileRenewal
from seic._tls.trust import Trust, read_trust


class Authorities:
    """The authorities of one configuration over time.

    `generation` grows by one whenever others take over. The methods may block and belong off the event loop; each may
    be called from any thread.

    Args:
        ca: As for `create_ssl_context`; what is no path is never looked at again.
        emit: Told what happens.
    """

    def __init__(self, ca: Material | None, *, emit: Emit) -> None:
        source = None if ca is None else CredentialFile.of(ca, "CA")
        #: Whether there is something to watch.
        self.is_watchable = source is not None and source.path is not None
        # A relative path is the one that it was at first, wherever the process goes.
        self._ca = ca if source is None or source.base is None else source.path
        self._renewal = FileRenewal(
            () if source is None or source.path is None else (source.path,),
            lambda: read_trust(self._ca),
            "ca" if source is None else source.label,
        )
        self._emit = emit
        self.generation = 0
        self._lock = Lock()
        self._trust: Trust | None = None
        self._reported: object = None

    def trust(self) -> Trust:
        """Return those in service; the first call reads them.

        Raises:
            CertificateError: They cannot be used.
        """
        if not self.is_watchable:
            return read_trust(self._ca)
        if self._trust is None:
            with self._lock:
                if self._trust is None:
                    self._trust = self._renewal.read()
                    self._renewal.dealt_with()
        assert self._trust is not None  # noqa: S101 - once set it stays; for the type checker
        return self._trust

    def look(self) -> None:
        """Take up what has changed, and tell of it."""
        if (event := self.take_up(urgent=False)) is not None:
            self._emit(event)

    def take_up(self, *, urgent: bool) -> Event | None:
        """Take up what has changed; return what is to be told: of the change, or of what is wrong with it.

        Args:
            urgent: Do not wait until the file settles.
        """
        if self._trust is None or not self._renewal.is_due(urgent=urgent):
            return None
        with self._lock:
            try:
                fresh = self._renewal.read()
                fresh.new_context()  # OpenSSL has the last word
            except CertificateError as error:
                return self._reject(error) if self._renewal.is_settled() else None
            self._renewal.dealt_with()
            self._reported = None
            if fresh == self._trust:
                return None
            self._trust = fresh
            # Last: who sees the new number finds the new authorities.
            self.generation += 1
            return TrustStoreReloaded(path=fresh.label, authorities=len(fresh.authorities))

    def _reject(self, error: CertificateError) -> Event | None:
        self._renewal.put_off()
        problem = (error.reason, error.path, self._renewal.version())
        if problem == self._reported:
            return None
        self._reported = problem
        return CertificateRejected(
            path=error.path or self._renewal.label,
            reason=error.reason or Reason.SOURCE_FAILED.value,
            problem=error.message,
        )
