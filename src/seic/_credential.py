"""The certificate and the trust of a connection, and probes that try renewed ones before they are used.

A pair that loads may still be refused by the server, which knows neither its issuer nor its account. So a renewed
credential makes a request of its own at each host in use, while the one before serves all calls.
"""

from __future__ import annotations

import datetime as dt
import ssl
from typing import Protocol

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.context import shared_context
from seic._tls.trust import TrustStore
from seic._values import frozen
from seic._x509.reasons import Reason

#: The ALPN protocols of a context. httpcore writes the same into the context that it is given, so connections with
#: other protocols must not share one.
_HTTP1 = ("http/1.1",)
_HTTP2 = ("http/1.1", "h2")
# The hosts at which a renewed credential is tried, those in use last; usually one or two.
_MAX_PROBES = 8


@frozen(kw_only=True)
class Credential:
    """The certificate and the trust of a connection; replaced as a whole.

    Args:
        certificate: The client certificate; None if there is none.
        trust: The authorities.
        context: The TLS context of both, for HTTP/1.1.
        generation: Grows by one with each replacement.
    """

    certificate: ClientCertificate | None
    trust: TrustStore
    context: ssl.SSLContext
    generation: int

    def is_valid(self, now: dt.datetime) -> bool:
        """Return whether the certificate, if there is one, is within its dates."""
        return self.certificate is None or self.certificate.leaf.is_valid(now)

    def http2_context(self) -> ssl.SSLContext:
        """Return the context of connections that offer HTTP/2; the first call builds it."""
        return shared_context(self.certificate, self.trust, alpn=_HTTP2)


def new_credential(certificate: ClientCertificate | None, trust: TrustStore, generation: int) -> Credential:
    """Return a credential with its context, which is built if there is none of the same content.

    Raises:
        CertificateError: As for `build_context`.
    """
    context = shared_context(certificate, trust, alpn=_HTTP1)
    return Credential(certificate=certificate, trust=trust, context=context, generation=generation)


class Probe(Protocol):
    """Tries a credential at one host; hashable, and equal for the same host."""

    def find_failure(self, credential: Credential) -> CertificateError | None:
        """Send a request without secrets; return its failure, or None if the server accepts the credential."""


class CredentialProbes:
    """The probes of an identity, one for each host in use. Its methods block.

    Args:
        enabled: Whether a credential is tried at all.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._probes: dict[Probe, None] = {}
        #: A credential that was refused although its probe was not, with the state of its files at that time.
        self._refused: tuple[ssl.SSLContext, object, CertificateError] | None = None

    def add(self, probe: Probe) -> None:
        """Try renewed credentials at a host."""
        if self.enabled and probe not in self._probes:
            self._probes[probe] = None
            for oldest in list(self._probes)[:-_MAX_PROBES]:
                self._probes.pop(oldest, None)

    def remember_refusal(self, credential: Credential, files: object, refusal: CertificateError) -> None:
        """Count a refusal that came later as that of a probe, until the files change."""
        self._refused = credential.context, files, refusal

    def forget_refusal(self) -> bool:
        """Try the credential again that was refused later; return whether there was one."""
        refused, self._refused = self._refused, None
        return refused is not None

    def is_refused(self, credential: Credential) -> bool:
        """Return whether a host refuses a credential; a host that gives no answer does not."""
        return any(map(_is_verdict, [probe.find_failure(credential) for probe in list(self._probes)]))

    def check(self, fresh: Credential, before: Credential, files: object) -> None:
        """Try a renewed credential, and if it fails the one before.

        A host that answers neither, because it is down or drops such requests, says nothing about either.

        Raises:
            CertificateError: It fails where the one before works, or is refused where the one before is not.
        """
        known = None if self._refused is None or self._refused[:2] != (fresh.context, files) else self._refused[2]
        for probe in list(self._probes):
            failure = known or probe.find_failure(fresh)
            if failure is None:
                continue
            failure_before = probe.find_failure(before)
            if failure_before is None or (_is_verdict(failure) and not _is_verdict(failure_before)):
                text = f"the renewed one does not work, so the last good one stays: {failure.message}"
                raise CertificateError(text, path=failure.path, reason=failure.reason)


def _is_verdict(failure: CertificateError | None) -> bool:
    """Whether one side refused the other, unlike a timeout or a close, which may have any cause."""
    return failure is not None and failure.reason not in {None, Reason.CLOSED_EARLY}
