"""`IdentityProbe`: a request that proves, at one host, that the server accepts a credential.

A handshake alone proves nothing. Under TLS 1.3 it ends for the client before the server has checked the certificate,
whose refusal comes with the first read; and nginx and IIS complete the handshake with any certificate, and refuse the
request with a page. So one request is sent, over a connection of its own and by the same route as calls: `OPTIONS /`,
which is safe (RFC 9110 §9.3.7), has no credentials and, unlike `HEAD`, gets the body of such a page. Any other answer
will do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from seic._credential import Credential
from seic._errors import CertificateError
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_translator import ErrorTranslator, failures, is_page
from seic._version import user_agent

# Seconds for each step, and for all. It may take as long as a slow server needs, since calls go on meanwhile.
_STEP_SECONDS = 4.0
_SECONDS = 8.0


@attrs.frozen(kw_only=True)
class IdentityProbe:
    """Tries a credential at the origin of a transport.

    Args:
        errors: Explains failures, and knows the origin and the route.
        module: httpx or httpx2, as of the transport.
        http2: Whether the transport offers HTTP/2.
        options: Further keywords of the transport.
        is_read: Whether the body of an answer is read; by default that of a page that may be about the certificate.
    """

    errors: ErrorTranslator
    module: Any
    http2: bool
    options: Mapping[str, Any] = attrs.field(eq=False)
    is_read: Callable[[Any], bool] = attrs.field(default=is_page, eq=False)

    def __hash__(self) -> int:
        return hash((self.errors.origin, self.http2))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdentityProbe):
            return NotImplemented
        return (self.errors.origin, self.http2) == (other.errors.origin, other.http2)

    def find_failure(self, credential: Credential) -> CertificateError | None:
        """Send the request; return its failure, or None if the server accepts the credential."""
        origin = self.errors.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        url, headers = f"https://{host}:{origin.port}/", {"User-Agent": user_agent(self.module)}
        answer = self.send(self.module.Request("OPTIONS", url, headers=headers), credential)
        return answer if isinstance(answer, CertificateError) else None

    def send(self, request: Any, credential: Credential) -> bytes | CertificateError:
        """Send a request; return the body of the answer, if it is read, or the reason why there was none."""
        request.extensions["timeout"] = self.module.Timeout(_STEP_SECONDS).as_dict()
        context = credential.http2_context() if self.http2 else credential.context
        trace = ConnectionTrace(request, blocking=True)
        # A timeout of httpx counts for each read, and a server may send a byte now and then for ever.
        timer = threading.Timer(_SECONDS, trace.shut_down)
        timer.daemon = True
        timer.start()
        with self.errors.network.new_transport(
            self.module.HTTPTransport, self.errors.origin, context, dict(self.options)
        ) as transport:
            try:
                response = transport.handle_request(request)
                body = response.read() if self.is_read(response) else b""
            except failures(self.module) as error:
                failure = self.errors.of(error, request, credential, trace) or error
                is_accepted = self.errors.is_accepted(trace) and not isinstance(failure, CertificateError)
                return b"" if is_accepted else _without_frames(failure)
            finally:
                timer.cancel()
                trace.end()
        failure_of_page = self.errors.of_page(response.status_code, body, request, credential)
        return body if failure_of_page is None else _without_frames(failure_of_page)


def refusal_of(error: Exception) -> CertificateError | None:
    """Return an error as a refusal of the certificate, or of the server's certificate; None for any other error."""
    reason = getattr(error, "reason", None) or ""
    return _without_frames(error) if isinstance(error, CertificateError) or reason.startswith("server-") else None


def _without_frames(error: Exception) -> CertificateError:
    # It outlives the request, which its frames hold.
    return CertificateError(str(error), path=getattr(error, "path", None), reason=getattr(error, "reason", None))
