"""`IdentityProbe`: a request that proves, at one host, that the server accepts a credential.

A handshake alone proves nothing. Under TLS 1.3 it ends for the client before the server has checked the certificate,
whose refusal comes with the first read; and nginx and IIS complete the handshake with any certificate, and refuse the
request with a page. So one request is sent, over a connection of its own and by the same route as calls: `OPTIONS /`,
which is safe (RFC 9110 §9.3.7), has no credentials and, unlike `HEAD`, gets the body of such a page. Any other answer
will do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from seic._credential import Credential
from seic._errors import CertificateError
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_translator import ErrorTranslator, failures, is_page
from seic._version import user_agent

# Seconds for each step. It may take as long as a slow server needs, since calls go on meanwhile.
_TIMEOUT = 4.0


@attrs.frozen(kw_only=True)
class IdentityProbe:
    """Tries a credential at the origin of a transport.

    Args:
        errors: Explains failures, and knows the origin and the route.
        module: httpx or httpx2, as of the transport.
        http2: Whether the transport offers HTTP/2.
        options: Further keywords of the transport.
    """

    errors: ErrorTranslator
    module: Any
    http2: bool
    options: Mapping[str, Any] = attrs.field(eq=False)

    def __hash__(self) -> int:
        return hash((self.errors.origin, self.http2))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdentityProbe):
            return NotImplemented
        return (self.errors.origin, self.http2) == (other.errors.origin, other.http2)

    def find_refusal(self, credential: Credential) -> CertificateError | None:
        """Send the request; return the reason why the credential does not work, or None if it does."""
        origin = self.errors.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        timeout = self.module.Timeout(_TIMEOUT).as_dict()
        headers = {"User-Agent": user_agent(self.module)}
        request = self.module.Request(
            "OPTIONS", f"https://{host}:{origin.port}/", headers=headers, extensions={"timeout": timeout}
        )
        context = credential.http2_context() if self.http2 else credential.context
        trace = ConnectionTrace(request, blocking=True)
        with self.errors.network.new_transport(
            self.module.HTTPTransport, origin, context, dict(self.options)
        ) as transport:
            try:
                response = transport.handle_request(request)
                body = response.read() if is_page(response) else b""
            except failures(self.module) as error:
                failure = self.errors.of(error, request, credential, trace) or error
                is_accepted = self.errors.is_accepted(trace) and not isinstance(failure, CertificateError)
                return None if is_accepted else _without_frames(failure)
            finally:
                trace.end()
        failure_of_page = self.errors.of_page(response.status_code, body, request, credential)
        return None if failure_of_page is None else _without_frames(failure_of_page)


def refusal_of(error: Exception) -> CertificateError | None:
    """Return an error as a refusal of the certificate, or of the server's certificate; None for any other error."""
    reason = getattr(error, "reason", None) or ""
    return _without_frames(error) if isinstance(error, CertificateError) or reason.startswith("server-") else None


def _without_frames(error: Exception) -> CertificateError:
    # It outlives the request, which its frames hold.
    return CertificateError(str(error), path=getattr(error, "path", None), reason=getattr(error, "reason", None))
