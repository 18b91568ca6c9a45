"""Identity: the client certificate in service and its TLS context, renewed as a whole when its source changes.

A new pair is read once, parsed, matched and dated, a fresh context is built for it, and both are swapped in together;
what does not load leaves the last good pair in service and is reported once. A live context is never altered: under
TLS 1.3 it goes on presenting the old certificate when the kind of key changes, and a failed load destroys it.

Where the new pair comes from stands in `renewal`, who looks and how often in `watching`; how a pool of connections
follows is the transport's affair.
"""

from __future__ import annotations

import datetime as dt
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from seic._errors import CertificateError
from seic._events import CertificateExpiring, CertificateRejected, CertificateRotated, Emit, Event
from seic._tls.certificate import ClientCertificate
from seic._tls.context import shared_context
from seic._tls.reasons import Reason
from seic._tls.renewal import CallbackRenewal, FileRenewal, Renewal
from seic._tls.sources import Material

#: Where certificates come from: one that was loaded (its files are watched), or a callback that returns the present
#: one, say from a vault. A callback is called on a thread and may block; it should have a timeout of its own.
CertificateSource: TypeAlias = ClientCertificate | Callable[[], ClientCertificate]

# How often the approaching end is told.
_BETWEEN_NOTICES = dt.timedelta(days=1)


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _ignore(event: Event) -> None:
    pass


def _take_any(certificate: ClientCertificate) -> None:
    pass


@attrs.frozen(kw_only=True)
class Held:
    """The pair in service: what belongs together and is swapped together."""

    certificate: ClientCertificate
    context: ssl.SSLContext
    generation: int


class Identity:
    """One client's identity over time.

    `generation` is 0 until `hold` is first called and grows by one with every swap; comparing it is all that the way of
    a request costs. Every method may block and belongs off the event loop; each may be called from any thread.

    Args:
        source: Where the certificate comes from.
        ca: The authorities to trust, as for `create_ssl_context`.
        alpn: The protocols that the contexts offer.
        accept: Raises CertificateError for a certificate that must not come into service, whatever its dates.
        emit: Told what happens; called on whatever thread found out.
        now: The clock that certificates are dated by.
        monotonic: The clock that the pauses between calls of a callback go by, in seconds.
        callback_interval: Seconds between two calls of a callback.
    """

    def __init__(
        self,
        source: CertificateSource,
        *,
        ca: Material | None = None,
        alpn: Sequence[str] = (),
        accept: Callable[[ClientCertificate], None] = _take_any,
        emit: Emit = _ignore,
        now: Callable[[], dt.datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        callback_interval: float = 60.0,
    ) -> None:
        self._first = source if isinstance(source, ClientCertificate) else None
        self._renewal: Renewal = (
            FileRenewal(source)
            if isinstance(source, ClientCertificate)
            else CallbackRenewal(source, interval=callback_interval, monotonic=monotonic)
        )
        self._ca = ca
        self._alpn = alpn
        self._accept = accept
        self._emit = emit
        self._now = now
        self.generation = 0
        # What follows is written under the lock; `_held` is replaced, never altered, and so is read without it.
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._valid_from: dt.datetime | None = None
        self._reported: object = None
        self._noticed_at: dt.datetime | None = None

    def hold(self) -> Held:
        """Return the pair in service; the first call builds it.

        Raises:
            CertificateError: The first certificate cannot work, has expired or is not valid yet.
        """
        if self._held is None:
            with self._lock:
                if self._held is None:
                    self._put(self._read_first())
        assert self._held is not None  # noqa: S101 - once set it stays; for the type checker
        return self._held

    def look(self, *, urgent: bool = False) -> None:
        """Take up what has changed; what is wrong with it becomes an event, never an error.

        Args:
            urgent: A server refused the certificate: do not wait until files settle or a callback is due.
        """
        if self._held is None:
            return
        events: list[Event] = []
        with self._lock:
            if self._renewal.is_due(urgent=urgent) or self._became_valid():
                try:
                    self._renew(events)
                except CertificateError as error:
                    if self._renewal.is_settled():
                        self._reject(error, events)
            self._notice_expiry(events)
        self._tell(events)

    def reload(self) -> bool:
        """Read the source now and swap in what is there; return whether it was new.

        Raises:
            CertificateError: What is there cannot work; the last good pair stays in service.
            ConfigurationError: The certificate was given as bytes: there is nothing to read again.
        """
        self.hold()
        events: list[Event] = []
        try:
            with self._lock:
                try:
                    return self._renew(events)
                except CertificateError as error:
                    self._reject(error, events)
                    raise
        finally:
            self._tell(events)

    def recover_after_fork(self) -> None:
        """Free the lock in a forked child, where the thread that held it does not exist."""
        self._lock = threading.Lock()

    def _read_first(self) -> ClientCertificate:
        if self._first is not None:
            try:
                self._first.check(self._now())
            except CertificateError:
                # It may have been loaded long ago, and renewed on disk since.
                if not self._first.files:
                    raise
            else:
                self._accept(self._first)
                return self._first
        certificate = self._renewal.read()
        certificate.check(self._now())
        self._accept(certificate)
        return certificate

    def _renew(self, events: list[Event]) -> bool:
        assert self._held is not None  # noqa: S101 - hold comes first; for the type checker
        self._valid_from = None
        fresh = self._renewal.read()
        now = self._now()
        if now < fresh.not_before:
            # It is looked at again when its time has come, though its file stays the same.
            self._valid_from = fresh.not_before
        fresh.check(now)
        self._accept(fresh)
        is_new = fresh.content != self._held.certificate.content
        if is_new:
            self._put(fresh)
            events.append(
                CertificateRotated(
                    path=fresh.path, subject=fresh.subject, thumbprint=fresh.thumbprint, not_after=fresh.not_after
                )
            )
        self._renewal.dealt_with()
        self._reported = None
        return is_new

    def _became_valid(self) -> bool:
        return self._valid_from is not None and self._now() >= self._valid_from

    def _put(self, certificate: ClientCertificate) -> None:
        context = shared_context(certificate, self._ca, alpn=self._alpn)
        self._held = Held(certificate=certificate, context=context, generation=self.generation + 1)
        self._noticed_at = None
        # Last: who sees the new number finds the new pair.
        self.generation = self._held.generation

    def _reject(self, error: CertificateError, events: list[Event]) -> None:
        self._renewal.dealt_with()
        problem = (error.reason, error.path, self._renewal.version())
        if problem == self._reported:
            return
        self._reported = problem
        events.append(
            CertificateRejected(
                path=error.path or "", reason=error.reason or Reason.SOURCE_FAILED.value, problem=error.message
            )
        )

    def _notice_expiry(self, events: list[Event]) -> None:
        assert self._held is not None  # noqa: S101 - look has made sure; for the type checker
        certificate, now = self._held.certificate, self._now()
        if not certificate.expires_soon(now):
            return
        if self._noticed_at is not None and now - self._noticed_at < _BETWEEN_NOTICES:
            return
        self._noticed_at = now
        events.append(
            CertificateExpiring(
                path=certificate.path,
                subject=certificate.subject,
                not_after=certificate.not_after,
                days_left=certificate.days_left(now),
            )
        )

    def _tell(self, events: list[Event]) -> None:
        # Outside the lock: a listener may ask for the certificate.
        for event in events:
            self._emit(event)
