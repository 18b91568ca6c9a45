"""The identity of a configuration: its client certificate, its trust store and the TLS context of both.

Equal configurations share one `Identity` in a process. It is checked for updates by one thread, and replaced as a whole
in one step: a live context is never changed, for under TLS 1.3 it would go on presenting the old certificate when the
type of the key changes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from seic._concurrency import ForkSafeLock, run_in_thread
from seic._credential import Credential, CredentialProbes, new_credential
from seic._errors import CertificateError, ConfigurationError, SeicError
from seic._event_types import (
    CertificateExpiring,
    CertificateRejected,
    CertificateRotated,
    Event,
    TrustStoreReloaded,
    log_event,
)
from seic._listeners import Listeners
from seic._tls.certificate import ClientCertificate
from seic._tls.context import CALLBACK, CertificateSource, call_certificate_source, source_key
from seic._tls.reload import FileState, Reloader, file_state
from seic._tls.trust import CA_CALLBACK, CaSource, TrustStore, authority_files, authority_parts, read_trust_store
from seic._tls.watcher import Watcher
from seic._x509.reasons import CertificateWarning, Reason

# Seconds after the first use of a renewed credential in which a refusal brings the credential before back.
_TRIAL_SECONDS = 60.0
_EXPIRY_NOTICE_INTERVAL = dt.timedelta(days=1)

_T = TypeVar("_T")


class Identity:
    """One identity over time; made by `shared_identity`.

    Requests compare `generation` only. `current_nowait` does not block; all other methods may, from any thread.

    Args:
        source: The client certificate, or a callback that returns the current one; None for none.
        ca: The authorities to trust; a file is watched as the certificate's files are.
        account: The service account that the certificate's CN should name; None if the provider does not compare them.
        strict: Refuse a certificate with another CN.
        now: The clock of certificates, for tests.
        monotonic: The clock of intervals in seconds, for tests.
        callback_interval: Seconds between two calls of a callback.
        watch: Whether the thread of the process checks it for updates.
        probe: Whether a renewed credential is tried before it replaces one that works.
    """

    def __init__(
        self,
        source: CertificateSource | None,
        *,
        ca: CaSource | None = None,
        account: str | None = None,
        strict: bool = False,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),  # freezegun replaces the class
        monotonic: Callable[[], float] = time.monotonic,
        callback_interval: float = 60.0,
        watch: bool = True,
        probe: bool = True,
    ) -> None:
        self._ca = ca
        self._account = account
        self._strict = strict
        self._now = now
        #: 0 until `current` is first called.
        self.generation = 0
        self._credential: Credential | None = None
        self._previous: Credential | None = None
        #: The time of the first use of the credential; None before that.
        self._used_at: float | None = None
        self._monotonic = monotonic
        self.probes = CredentialProbes(enabled=probe)
        self._locks, self._recovery = ForkSafeLock(), ForkSafeLock()
        #: Whether the last check found files that have changed and were neither loaded nor refused.
        self.is_settling = False
        self._warned: dict[tuple[str, str | None], CertificateWarning] = {}
        #: Each auth of the configuration has one, which is dropped with the auth.
        self._audience: set[weakref.ref[Listeners]] = set()
        self._valid_from = source.next_from if isinstance(source, ClientCertificate) and source.files else None
        self._noticed_at: dt.datetime | None = None
        self._certificates: Reloader[ClientCertificate] | None = None
        follow: Any = functools.partial(Reloader, emit=self._emit, monotonic=monotonic)
        if isinstance(source, ClientCertificate):
            state = {"files": source.files, "initial": source, "signature": source.signature}
            self._certificates = follow(source.reload, source.path, accept=self._accept_certificate, **state)
        elif source is not None:
            call = functools.partial(call_certificate_source, source)
            self._certificates = follow(call, CALLBACK, accept=self._accept_certificate, interval=callback_interval)
        self._trusts: Reloader[TrustStore] | None = None
        follow = functools.partial(follow, self._read_trust, accept=self._accept_trust)
        if callable(ca):
            self._trusts = follow(CA_CALLBACK, interval=callback_interval)
        elif files := [file for file in authority_files(ca) if file.path is not None]:
            self._trusts = follow(", ".join(file.label for file in files), files=tuple(file.path for file in files))
        self._reloaders: list[Reloader[Any]] = [one for one in (self._certificates, self._trusts) if one is not None]
        self._is_watched = watch and bool(self._reloaders)

    def current(self) -> Credential:
        """Return what a new connection presents; the first call reads and builds it.

        Raises:
            CertificateError: The certificate is out of its dates or cannot work, or the authorities cannot be used.

        Warns:
            CertificateWarning: Once for each certificate and reason.
        """
        credential = self._credential or self._build()
        if credential.certificate is not None:
            try:
                problems = credential.certificate.check(self._now())
            except CertificateError:
                # It may have been renewed on disk since the last check.
                if not self.check_for_update(urgent=True):
                    raise
                return self.current()
            self._warn(credential.certificate, problems)
        self._used_at = self._used_at or self._monotonic()
        self.watch()
        return credential

    def prepare(self) -> None:
        """Build the first credential now, unless something must be read for it that may hang.

        Later it is built in a thread, and a thread hardly runs next to a full event loop.
        """
        if self._credential is None and self._ca is None and self.is_ready:
            # An unusable certificate is the error of the first call.
            with contextlib.suppress(SeicError):
                self._build()

    def watch(self) -> None:
        """Have the thread of this process check it for updates."""
        if self._is_watched:
            _watchers.setdefault(os.getpid(), Watcher()).add(self)

    def current_nowait(self) -> Credential | None:
        """Return what `current` returns; None if that would block."""
        credential = self._credential
        if credential is None or not credential.is_valid(self._now()):
            return None
        return self.current()

    @property
    def certificate(self) -> ClientCertificate | None:
        """The certificate in service, whatever its dates; the first look at one from a callback calls it.

        Raises:
            CertificateError: A callback gave none that works.
        """
        return None if self._certificates is None else self._certificates.get()

    @property
    def thumbprint(self) -> str | None:
        """The thumbprint of the certificate in service, which tokens are bound to; None without a certificate."""
        certificate = self.certificate
        return None if certificate is None else certificate.thumbprint

    @property
    def is_ready(self) -> bool:
        """Whether the certificate is in hand, so that `certificate` does not block."""
        return self._certificates is None or self._certificates.get_nowait() is not None

    async def ready(self) -> None:
        """Read the first certificate, off the event loop, so that `certificate` does not block.

        Raises:
            CertificateError: A callback gave none that works.
        """
        if not self.is_ready:
            await run_in_thread(lambda: self.certificate)

    def check_for_update(
        self, *, urgent: bool = False, wait: bool = False, file_state: Callable[[str], FileState] = file_state
    ) -> bool:
        """Read what has changed; return whether the credential was replaced. A failure becomes an event, not an error.

        Args:
            urgent: Do not wait until files settle or a callback is due; and wait for the reading, at most 10 seconds.
            wait: Wait for a reading in any case.
            file_state: Returns a file's state on disk.
        """
        credential = self._credential
        if credential is None:
            return False
        is_settling = False
        if self._trusts is not None:
            self._trusts.check(urgent=urgent, wait=urgent or wait, file_state=file_state)
            is_settling = self._trusts.is_settling
        if self._certificates is not None and credential.certificate is not None:
            # First: the expiry of a certificate is not told after its rotation, nor while its files change.
            if not self.is_settling:
                self._notice_expiry(credential.certificate)
            is_due = self._valid_from is not None and self._now() >= self._valid_from
            self._certificates.check(urgent=urgent, wait=urgent or wait, due=is_due, file_state=file_state)
            is_settling |= self._certificates.is_settling
        self.is_settling = is_settling
        return self.generation != credential.generation

    def reload(self) -> bool:
        """Read the certificate again now, and the authorities; return whether the certificate is new.

        Raises:
            CertificateError: The certificate cannot be used; the last good one stays in service.
            ConfigurationError: There is no certificate, or it was given as bytes.
        """
        if self._certificates is None:
            raise ConfigurationError("certificate: there is none, so none can be loaded again", field="certificate")
        self.probes.forget_refusal()
        if self._trusts is not None and self._credential is not None:
            self._trusts.check(urgent=True, wait=True)
        return self._certificates.reload()

    def replace_refused(
        self, credential: Credential, refusal: CertificateError, works: Callable[[Credential], bool] | None = None
    ) -> bool:
        """Look for another credential after a server refused one; return whether another try may succeed.

        It is what was renewed meanwhile, or, for a minute after the first use of a renewed one, the credential before,
        unless a probe finds that it is refused.

        Args:
            credential: That credential.
            refusal: The server's reason, without a traceback.
            works: Tries a credential with the refused request; None: by the probes of all hosts.
        """
        self.check_for_update(urgent=True)
        with self._recovery:
            if self._credential is not credential or not self.probes.enabled:
                return self._credential is not credential
            used_for = 0.0 if self._used_at is None else self._monotonic() - self._used_at
            before = self._previous
            if before is not None and (used_for > _TRIAL_SECONDS or not before.is_valid(self._now())):
                before = None
            if before is None and works is not None:
                return self.probes.forget_refusal() and self.check_for_update(urgent=True)
            if before is not None and (works(before) if works is not None else not self.probes.is_refused(before)):
                self._put_back(before, credential, refusal)
                return True
            # A server that is being changed is in both of its states for a moment.
            return works is None and (before is not None or any(one.is_final for one in self._reloaders))

    def _put_back(self, before: Credential, refused: Credential, refusal: CertificateError) -> None:
        with self._lock:
            if self._credential is not refused:
                return
            self._replace(before.certificate, before.trust)
            self._previous = None
            for reloader in self._reloaders:
                reloader.put_back(before.certificate if reloader is self._certificates else before.trust)
            self.probes.remember_refusal(refused, self._files(), refusal)
        path, problem = refusal.path or refused.trust.label, f"it was refused after its first use: {refusal.message}"
        problem += "; the one before it is in use again"
        self._emit(CertificateRejected(path=path, reason=refusal.reason or Reason.REFUSED.value, problem=problem))

    def _files(self) -> object:
        return [one.latest for one in self._reloaders]

    def hint(self) -> str | None:
        """Return the likely cause of refused credentials, as far as the certificate is concerned."""
        certificate = None if self._certificates is None else self._certificates.get_nowait()
        if certificate is None or self._account is None:
            return None
        problem = certificate.check_common_name(self._account)
        return None if problem is None else f"a likely cause: {problem}"

    def add_listener(self, listeners: Listeners) -> None:
        """Tell listeners of each rotation for as long as they live."""
        self._audience.add(weakref.ref(listeners, self._audience.discard))

    @property
    def _lock(self) -> threading.RLock:
        return self._locks.of_process[os.getpid()]

    def _build(self) -> Credential:
        # Off the lock: a source may hang.
        _ = self.certificate
        trust = read_trust_store(self._ca) if self._trusts is None else self._trusts.get()
        with self._lock:
            # Either may have been replaced since.
            trust = trust if self._trusts is None else self._trusts.get()
            return self._credential or self._replace(self.certificate, trust)

    def _replace(self, certificate: ClientCertificate | None, trust: TrustStore) -> Credential:
        self._previous, self._used_at = self._credential, None
        credential = self._credential = new_credential(certificate, trust, self.generation + 1)
        # Last: a caller that sees the new number finds the new credential.
        self.generation = credential.generation
        return credential

    def _use(
        self, reloader: Reloader[_T], fresh: _T, certificate: ClientCertificate | None, trust: TrustStore | None
    ) -> None:
        before = self._credential
        if before is not None and self.probes.enabled and before.is_valid(self._now()):
            tried = new_credential(certificate or before.certificate, trust or before.trust, self.generation)
            reloader.is_final = True
            self.probes.check(tried, before, self._files())
        with self._lock:
            if self._credential is not None:
                self._replace(certificate or self._credential.certificate, trust or self._credential.trust)
            reloader.value = fresh

    def _accept_certificate(self, certificates: Reloader[ClientCertificate], fresh: ClientCertificate) -> Event | None:
        now, before = self._now(), certificates.value
        # At the time of a certificate that is not valid yet, or of the next in the file, the same file is read again.
        self._valid_from = fresh.not_before if now < fresh.not_before else fresh.next_from
        fresh.check(now)
        if self._account is not None and fresh.leaf.common_name != self._account:
            # A renewal for another account is a mistake, even where no name is required.
            is_fitting = before is not None and before.leaf.is_valid(now) and before.common_name == self._account
            fresh.check_common_name(self._account, strict=self._strict or is_fitting)
        if before is not None and before.content == fresh.content:
            return None
        # The system's trust is read with each certificate.
        trust = read_trust_store(None) if self._ca is None and self._credential is not None else None
        self._use(certificates, fresh, fresh, trust)
        self._noticed_at = None
        if before is None:
            return None
        leaf, path = fresh.leaf, fresh.path
        return CertificateRotated(path=path, subject=leaf.subject, thumbprint=leaf.thumbprint, not_after=leaf.not_after)

    def _read_trust(self) -> TrustStore:
        return read_trust_store(self._ca, replaces=self._trusts is not None and self._trusts.value is not None)

    def _accept_trust(self, trusts: Reloader[TrustStore], fresh: TrustStore) -> Event | None:
        before = trusts.value
        trusts.is_partial = bool(fresh.warnings)
        if before == fresh:
            return None
        self._use(trusts, fresh, None, fresh)
        return None if before is None else TrustStoreReloaded(path=fresh.label, authorities=len(fresh.authorities))

    def _warn(self, certificate: ClientCertificate, problems: tuple[CertificateWarning, ...]) -> None:
        name = None if self._account is None else certificate.check_common_name(self._account)
        for problem in (*problems, name):
            # `setdefault` is atomic: of two threads one warns.
            if problem and self._warned.setdefault((certificate.thumbprint, problem.reason), problem) is problem:
                warnings.warn(problem, stacklevel=3)

    def _notice_expiry(self, certificate: ClientCertificate) -> None:
        now = self._now()
        if not certificate.leaf.expires_soon(now):
            return
        with self._lock:
            if self._noticed_at is not None and abs(now - self._noticed_at) < _EXPIRY_NOTICE_INTERVAL:
                return
            self._noticed_at = now
        leaf, days_left = certificate.leaf, certificate.days_left(now)
        self._emit(
            CertificateExpiring(
                path=certificate.path, subject=leaf.subject, not_after=leaf.not_after, days_left=days_left
            )
        )

    def _emit(self, event: Event) -> None:
        log_event(event)
        for reference in [*self._audience]:
            if (listeners := reference()) is not None:
                listeners.notify(event)


#: By process: a thread of the parent does not exist in its child.
_watchers: dict[int, Watcher] = {}
_identities: weakref.WeakValueDictionary[Hashable, Identity] = weakref.WeakValueDictionary()
_registry_lock = ForkSafeLock()


def shared_identity(
    source: CertificateSource | None,
    *,
    ca: CaSource | None,
    account: str | None = None,
    strict: bool = False,
    probe: bool = True,
) -> Identity:
    """Return the identity of these settings: one in the process, as long as it is in use; see `Identity`."""
    trusted = [os.fspath(one) if isinstance(one, os.PathLike) else source_key(one) for one in authority_parts(ca)]
    key = (source_key(source), ca is None, tuple(trusted), account, strict, probe)
    with _registry_lock:
        identity = _identities.get(key)
        if identity is None:
            identity = _identities[key] = Identity(source, ca=ca, account=account, strict=strict, probe=probe)
        return identity
