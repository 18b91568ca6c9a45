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

    def find_refusal(self, credential: Credential) -> CertificateError | None:
        """Send a request without secrets; return the reason why the credential does not work, or None if it does."""


class CredentialProbes:
    """The probes of an identity, one for each host in use. Its methods block.

    Args:
        enabled: Whether a credential is tried at all.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._probes: dict[Probe, None] = {}
        #: A credential that was refused although its probe was not.
        self._refused: tuple[ssl.SSLContext, CertificateError] | None = None

    def add(self, probe: Probe) -> None:
        """Try renewed credentials at a host."""
        if self.enabled and probe not in self._probes:
            self._probes[probe] = None
            for oldest in list(self._probes)[:-_MAX_PROBES]:
                self._probes.pop(oldest, None)

    def remember_refusal(self, credential: Credential, refusal: CertificateError) -> None:
        """Count a refusal that came later as that of a probe."""
        self._refused = credential.context, refusal

    def find_refusal(self, credential: Credential) -> CertificateError | None:
        """Try a credential at all hosts; return the first reason why it does not work, or None if it does."""
        refusals = (probe.find_refusal(credential) for probe in list(self._probes))
        return next((refusal for refusal in refusals if refusal is not None), None)

    def check(self, fresh: Credential, before: Credential) -> None:
        """Try a renewed credential, and if it fails the one before.

        Raises:
            CertificateError: It fails where the one before works. A failure of both says nothing about the renewed one:
                the host is down, or no longer accepts the one before.
        """
        known = self._refused[1] if self._refused is not None and self._refused[0] is fresh.context else None
        for probe in list(self._probes):
            refusal = known or probe.find_refusal(fresh)
            if refusal is not None and probe.find_refusal(before) is None:
                text = f"the renewed one does not work, so the last good one stays: {refusal.message}"
                raise CertificateError(text, path=refusal.path, reason=refusal.reason)
