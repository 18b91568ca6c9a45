"""Identity: the client certificate in service and its TLS context, renewed as a whole when its source changes.

A new pair is read once, parsed, matched and dated, a fresh context is built for it, and both are swapped in together;
what does not load leaves the last good pair in service and is reported once. A live context is never altered: under
TLS 1.3 it goes on presenting the old certificate when the kind of key changes, and a failed load destroys it.

A source is read on a daemon thread of its own, one at a time for each identity, and while no lock is held: a vault may
hang, what returns a passphrase, and a file system. Whoever waits for it does so for a while and goes on with what is in
service.

Where the new pair comes from stands in `renewal`, who looks and how often in `watching`, whom the context trusts in
`authorities`; how a pool of connections follows is the transport's affair.
"""

from __future__ import annotations

import datetime as dt
import ssl
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from seic._errors import CertificateError, SeicError
from seic._events import CertificateExpiring, CertificateRejected, CertificateRotated, Emit, Event
from seic._runtime import Latch, Lock, start_thread, survive_fork
from seic._tls.authorities import Authorities
from seic._tls.certificate import ClientCertificate
from seic._tls.context import shared_context
from seic._tls.credential_files import Material
from seic._tls.reasons import Reason, certificate_error
from seic._tls.renewal import CallbackRenewal, FileRenewal, Renewal
from seic._tls.trust import Trust

#: Where certificates come from: one that was loaded (its files are watched), or a callback that returns the present
#: one, say from a vault. A callback is called on a thread and may block; it should have a timeout of its own.
CertificateSource: TypeAlias = ClientCertificate | Callable[[], ClientCertificate]

#: Seconds after which nobody waits for a source any more, from when it was asked: what is in service goes on.
PATIENCE = 10.0
#: The same for the very first certificate, without which nothing works.
FIRST_PATIENCE = 30.0
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
    trust: Trust
    context: ssl.SSLContext
    generation: int


class _Reading:
    """One reading of the source, for all who wait for it."""

    def __init__(self, began: float, *, asked_for: bool) -> None:
        self.began = began
        #: Whether somebody asked for just this: then a failure is believed at once.
        self.asked_for = asked_for
        self.answered = False
        self.is_new = False
        self.error: SeicError | None = None
        #: Set when everything that it led to is done.
        self.done = Latch()


class Identity:
    """One client's identity over time.

    `generation` is 0 until `hold` is first called and grows by one with every swap; comparing it is all that the way of
    a request costs. Every method may block and belongs off the event loop; each may be called from any thread.

    Args:
        source: Where the certificate comes from.
        ca: The authorities to trust, as for `create_ssl_context`; a file is followed as the certificate's are.
        alpn: The protocols that the contexts offer.
        accept: Raises CertificateError for a certificate that must not come into service, whatever its dates.
        emit: Told what happens; called on whatever thread found out.
        now: The clock that certificates are dated by.
        monotonic: The clock that pauses and patience go by, in seconds.
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
            FileRenewal(source.files, source.reload, source.path)
            if isinstance(source, ClientCertificate)
            else CallbackRenewal(source, interval=callback_interval, monotonic=monotonic)
        )
        self._authorities = Authorities(ca, emit=emit)
        self._alpn = alpn
        self._accept = accept
        self._emit = emit
        self._now = now
        self._monotonic = monotonic
        self.generation = 0
        # What follows is written under the lock; `_held` is replaced, never altered, and so is read without it.
        self._lock = Lock()
        self._held: Held | None = None
        self._reading: _Reading | None = None
        self._trusts = 0
        self._valid_from: dt.datetime | None = None
        self._reported: object = None
        self._is_silence_reported = False
        self._noticed_at: dt.datetime | None = None
        survive_fork(self)

    def hold(self) -> Held:
        """Return the pair in service; the first call builds it.

        Raises:
            CertificateError: The first certificate cannot work, has expired or is not valid yet, or its source does not
                answer.
        """
        while (held := self._held) is None:
            if not self._put_first():
                reading, _ = self._read()
                self._wait(reading, FIRST_PATIENCE)
                if reading.error is not None:
                    raise reading.error.fresh() from reading.error.__cause__
        return held

    def look(self, *, urgent: bool = False) -> Latch | None:
        """Take up what has changed; what is wrong with it becomes an event, never an error.

        Args:
            urgent: A server refused the certificate: do not wait until files settle or a callback is due, and wait a
                while for what is read.

        Returns:
            What is set when that is done, where something is being read.
        """
        if self._held is None:
            return None
        self._follow_authorities(urgent=urgent)
        # Before anything is read: an approaching end is not told of a certificate whose rotation is yet to be.
        self._notice_expiry()
        reading = self._reading
        if reading is None and (self._renewal.is_due(urgent=urgent) or self._became_valid()):
            reading, _ = self._read()
        if reading is not None:
            if urgent:
                reading.done.wait(self._time_left(reading, PATIENCE))
            self._notice_silence(reading)
        return None if reading is None else reading.done

    def reload(self) -> bool:
        """Read the source now and swap in what is there; return whether it was new.

        Raises:
            CertificateError: What is there cannot work, or the source does not answer; the last good pair stays in
                service.
            ConfigurationError: The certificate was given as bytes: there is nothing to read again.
        """
        self.hold()
        self._follow_authorities(urgent=True)
        while True:
            reading, is_ours = self._read(asked_for=True)
            self._wait(reading, PATIENCE)
            if not is_ours:
                # It began before what the caller knows of may have been there.
                continue
            if reading.error is not None:
                raise reading.error.fresh() from reading.error.__cause__
            return reading.is_new

    def after_fork(self) -> None:
        """Forget in a forked child what a thread of the parent is reading."""
        self._reading = None

    def _put_first(self) -> bool:
        """Put the certificate in service that was loaded before; return whether there is one that still works."""
        if self._first is None:
            return False
        try:
            self._first.check(self._now())
        except CertificateError:
            # It may have been loaded long ago, and renewed on disk since.
            if not self._first.files:
                raise
            return False
        self._accept(self._first)
        with self._lock:
            if self._held is None:
                self._put(self._first)
        return True

    def _read(self, *, asked_for: bool = False) -> tuple[_Reading, bool]:
        """Return the reading under way, and whether it begins here and now."""
        with self._lock:
            if self._reading is not None:
                return self._reading, False
            reading = self._reading = _Reading(self._monotonic(), asked_for=asked_for)
        start_thread(lambda: self._carry_out(reading))
        return reading, True

    def _carry_out(self, reading: _Reading) -> None:
        events: list[Event] = []
        try:
            try:
                reading.is_new = self._renew(events)
            except SeicError as error:
                reading.error = error
            except Exception as error:  # noqa: BLE001 - whoever waits has to learn of it
                text = f"the new certificate could not be taken up: {type(error).__name__}"
                reading.error = certificate_error(Reason.SOURCE_FAILED, self._renewal.label, text)
                reading.error.__cause__ = error
            is_believed = reading.asked_for or self._renewal.is_settled()
            if isinstance(reading.error, CertificateError) and self._held is not None and is_believed:
                self._reject(reading.error, events)
            with self._lock:
                reading.answered = True
                # Before it is told: a listener may have the source read again.
                self._reading = None
            for event in events:
                self._emit(event)
        finally:
            reading.done.set()

    def _renew(self, events: list[Event]) -> bool:
        self._valid_from = None
        fresh = self._renewal.read()
        now = self._now()
        if now < fresh.not_before:
            # It is looked at again when its time has come, though its file stays the same.
            self._valid_from = fresh.not_before
        fresh.check(now)
        self._accept(fresh)
        with self._lock:
            is_first = self._held is None
            is_new = self._held is None or fresh.content != self._held.certificate.content
            if is_new:
                self._put(fresh)
                self._noticed_at = None
        if is_new and not is_first:
            events.append(
                CertificateRotated(
                    path=fresh.path, subject=fresh.subject, thumbprint=fresh.thumbprint, not_after=fresh.not_after
                )
            )
        self._renewal.dealt_with()
        self._reported = None
        self._is_silence_reported = False
        return is_new

    def _wait(self, reading: _Reading, patience: float) -> None:
        reading.done.wait(self._time_left(reading, patience))
        if not reading.answered:
            self._notice_silence(reading)
            raise self._silence(patience)

    def _time_left(self, reading: _Reading, patience: float) -> float:
        # Counted from its beginning: who comes late to one that hangs goes on at once.
        return max(0.0, reading.began + patience - self._monotonic())

    def _silence(self, patience: float) -> CertificateError:
        serving = "" if self._held is None else "; the last good certificate stays in service"
        return certificate_error(
            Reason.SOURCE_FAILED,
            self._renewal.label,
            f"it gave no answer in {patience:g} seconds, and is not asked again until it does{serving}; give it a time "
            "limit of its own",
        )

    def _notice_silence(self, reading: _Reading) -> None:
        if self._held is None or self._time_left(reading, PATIENCE) > 0:
            return
        with self._lock:
            if reading.answered or self._is_silence_reported:
                return
            self._is_silence_reported = True
        error = self._silence(PATIENCE)
        self._emit(CertificateRejected(path=self._renewal.label, reason=Reason.SOURCE_FAILED, problem=error.message))

    def _follow_authorities(self, *, urgent: bool) -> None:
        event = self._authorities.take_up(urgent=urgent)
        if self._authorities.generation != self._trusts:
            with self._lock:
                if self._held is not None and self._authorities.generation != self._trusts:
                    self._put(self._held.certificate)
        if event is not None:
            self._emit(event)

    def _became_valid(self) -> bool:
        return self._valid_from is not None and self._now() >= self._valid_from

    def _put(self, certificate: ClientCertificate) -> None:
        # First: authorities that change meanwhile are taken up by the next look.
        self._trusts = self._authorities.generation
        trust = self._authorities.trust()
        context = shared_context(certificate, trust, alpn=self._alpn)
        self._held = Held(certificate=certificate, trust=trust, context=context, generation=self.generation + 1)
        # Last: who sees the new number finds the new pair.
        self.generation = self._held.generation

    def _reject(self, error: CertificateError, events: list[Event]) -> None:
        self._renewal.put_off()
        problem = (error.reason, error.path, self._renewal.version())
        if problem == self._reported:
            return
        self._reported = problem
        events.append(
            CertificateRejected(
                path=error.path or self._renewal.label,
                reason=error.reason or Reason.SOURCE_FAILED.value,
                problem=error.message,
            )
        )

    def _notice_expiry(self) -> None:
        with self._lock:
            assert self._held is not None  # noqa: S101 - look has made sure; for the type checker
            certificate, now = self._held.certificate, self._now()
            if not certificate.expires_soon(now):
                return
            if self._noticed_at is not None and now - self._noticed_at < _BETWEEN_NOTICES:
                return
            self._noticed_at = now
        self._emit(
            CertificateExpiring(
                path=certificate.path,
                subject=certificate.subject,
                not_after=certificate.not_after,
                days_left=certificate.days_left(now),
            )
        )
