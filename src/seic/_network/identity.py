"""A configuration's identity as its clients use it: one for all of them, judged before it is presented.

How a certificate is renewed stands in `seic._tls.rotation`; here stand the warnings, the account's name, and who is
told.
"""

from __future__ import annotations

import ssl
import warnings
import weakref
from typing import Protocol

import attrs

from seic._errors import CertificateError, ConfigurationError
from seic._events import Event, log_event
from seic._listeners import Listeners
from seic._runtime import Lock, in_thread
from seic._tls.authorities import Authorities
from seic._tls.certificate import ClientCertificate
from seic._tls.context import shared_context
from seic._tls.credential_files import Material
from seic._tls.reasons import CertificateWarning
from seic._tls.rotation import CertificateSource, Held, Identity
from seic._tls.watching import WATCHER

#: What a connection offers by ALPN. httpcore writes the same into the context that it is given, so connections that
#: offer different protocols must not share one.
_HTTP1 = ("http/1.1",)
_HTTP2 = ("http/1.1", "h2")


class Rotation(Protocol):
    """What counts what came into service, certificates and authorities."""

    @property
    def generation(self) -> int:
        """How many there were."""
        ...


@attrs.frozen(kw_only=True)
class Presented:
    """What one pool of connections presents to the server."""

    generation: int
    certificate: ClientCertificate | None
    context: ssl.SSLContext


class Presenter:
    """Presents one configuration's identity to whatever connects for it.

    Only `rotation.generation` is for the way of a request; the methods may block and belong off the event loop. All may
    be called from any thread.

    Args:
        source: The client certificate, or a callback that returns the present one; None for none.
        ca: The authorities to trust; a file is followed as the certificate's are.
        account: The service account that the certificate's CN should name; None where the provider does not ask for it.
        strict: Refuse a certificate whose CN is another.
    """

    def __init__(
        self, source: CertificateSource | None, *, ca: Material | None, account: str | None, strict: bool
    ) -> None:
        self._source = source
        self._account = account
        self._strict = strict
        self._lock = Lock()
        self._warned: set[tuple[str, str | None]] = set()
        #: Those who are told; each auth of the configuration has one, and goes when the auth goes.
        self._audience: weakref.WeakSet[Listeners] = weakref.WeakSet()
        self._identity = (
            None if source is None else Identity(source, ca=ca, alpn=_HTTP1, emit=self._emit, accept=self._check_name)
        )
        self._authorities = Authorities(ca, emit=self._emit)
        #: Whose `generation` a pool compares with its own.
        self.rotation: Rotation = self._identity or self._authorities

    @property
    def is_ready(self) -> bool:
        """Whether the certificate is in hand, so that `thumbprint` does not block."""
        return not callable(self._source) or (self._identity is not None and self._identity.generation > 0)

    async def ready(self) -> None:
        """Have the first certificate in hand, off the event loop: a callback that gives it may block.

        Raises:
            CertificateError: It gave none that works.
        """
        if not self.is_ready:
            await in_thread(self.certificate)

    def certificate(self) -> ClientCertificate | None:
        """Return the certificate in service, whatever its dates; before the first connection the one that was stated.

        Raises:
            CertificateError: A callback gave none that works.
        """
        if self._identity is None:
            return None
        if self._identity.generation == 0 and isinstance(self._source, ClientCertificate):
            return self._source
        return self._hold(self._identity).certificate

    def thumbprint(self) -> str | None:
        """Return what tokens are bound to: the thumbprint of the certificate in service, None where there is none."""
        certificate = self.certificate()
        return None if certificate is None else certificate.thumbprint

    def present(self, *, http2: bool = False) -> Presented:
        """Return what a new pool of connections presents.

        Args:
            http2: Whether the pool offers HTTP/2.

        Raises:
            CertificateError: The certificate has expired, is not valid yet or cannot work, or the authorities cannot be
                used.

        Warns:
            CertificateWarning: Once for each certificate and concern.
        """
        alpn = _HTTP2 if http2 else _HTTP1
        if self._identity is None:
            # The number first: authorities that change meanwhile are taken up by the next pool.
            generation = self._authorities.generation
            context = shared_context(None, self._authorities.trust(), alpn=alpn)
            if self._authorities.is_watchable:
                WATCHER.add(self._authorities)
            return Presented(generation=generation, certificate=None, context=context)
        held = self._hold(self._identity)
        try:
            concerns = held.certificate.check()
        except CertificateError:
            # It may have been renewed on disk since the last look.
            self._identity.look(urgent=True)
            held = self._identity.hold()
            concerns = held.certificate.check()
        self._warn(held.certificate, concerns)
        context = shared_context(held.certificate, held.trust, alpn=alpn) if http2 else held.context
        return Presented(generation=held.generation, certificate=held.certificate, context=context)

    def look(self, presented: int) -> bool:
        """Look for a new certificate at once; return whether there is one since generation `presented`."""
        if self._identity is None:
            return False
        self._identity.look(urgent=True)
        return self._identity.generation != presented

    def reload(self) -> bool:
        """Read the certificate again now; return whether it was a new one.

        Raises:
            CertificateError: What is there cannot work; the last good one stays in service.
            ConfigurationError: There is no certificate, or it was given as bytes.
        """
        if self._identity is None:
            raise ConfigurationError("certificate: there is none, so none can be loaded again", field="certificate")
        return self._identity.reload()

    def hint(self) -> str | None:
        """Return what a refusal of the credentials may come from, as far as the certificate is concerned."""
        if not self.is_ready or (certificate := self.certificate()) is None or self._account is None:
            return None
        concern = certificate.check_common_name(self._account)
        return None if concern is None else f"a likely cause: {concern}"

    def tell(self, listeners: Listeners) -> None:
        """Have listeners hear of each rotation for as long as they live."""
        self._audience.add(listeners)

    def _hold(self, identity: Identity) -> Held:
        if identity.generation == 0:
            held = identity.hold()
            WATCHER.add(identity)
            return held
        return identity.hold()

    def _check_name(self, certificate: ClientCertificate) -> None:
        if self._account is not None and self._strict:
            certificate.check_common_name(self._account, strict=True)

    def _warn(self, certificate: ClientCertificate, concerns: tuple[CertificateWarning, ...]) -> None:
        name = None if self._account is None else certificate.check_common_name(self._account)
        for concern in (*concerns, *([] if name is None else [name])):
            key = (certificate.thumbprint, concern.reason)
            with self._lock:
                if key in self._warned:
                    continue
                self._warned.add(key)
            warnings.warn(concern, stacklevel=2)

    def _emit(self, event: Event) -> None:
        log_event(event)
        for listeners in [*self._audience]:
            listeners.tell(event)
