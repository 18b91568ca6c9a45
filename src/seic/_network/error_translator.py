"""Failed connections in words: httpx's exceptions, and the pages of web servers, turned into what seic raises for them.

What a failure means is decided in `seic._tls.diagnose`; here stands which exception carries it.
"""

from __future__ import annotations

import abc
import datetime as dt
from collections.abc import Collection

import attrs
import httpx

from seic._errors import CertificateError, TokenEndpointUnavailable
from seic._model.hosts import Origin
from seic._network.connect_errors import explain_connect_error
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_frames import free_of_secrets
from seic._network.identity import Presented
from seic._network.proxies import Network
from seic._oauth.redact import sanitize, secrets_in
from seic._tls.diagnose import Explanation, HandshakeContext, Stage, explain_close, explain_failure, explain_reply

#: What a broken connection raises: httpx's exceptions, and what anyio lets through as it is, an alert under TLS 1.3.
FAILURES = (httpx.TransportError, OSError)

#: The pages by which web servers refuse a certificate are short and name their length.
_LONGEST_PAGE = 4096
_PAGE_STATUSES = frozenset({400, 403, 495, 496})
_UNREACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)


class CertificateConnectError(CertificateError, httpx.ConnectError):
    """Our client certificate cannot work for an API call; caught as seic's error and as httpx's alike.

    It knows the request's method and URL only: headers hold the token.
    """

    def __init__(
        self, message: str, *, path: str | None = None, reason: str | None = None, request: httpx.Request | None = None
    ) -> None:
        CertificateError.__init__(self, message, path=path, reason=reason)
        self._request = None
        if request is not None:
            self.request = request

    @property
    def request(self) -> httpx.Request:
        """The request's method and URL, in a request of their own."""
        if self._request is None:
            raise RuntimeError("The .request property has not been set.")
        return self._request

    @request.setter
    def request(self, request: httpx.Request) -> None:
        # httpx sets it to the whole request on the way out.
        self._request = httpx.Request(request.method, request.url.copy_with(query=None))


@attrs.frozen(kw_only=True)
class ErrorTranslator(abc.ABC):
    """Explains the failures of one way, and says what is raised for them.

    Args:
        origin: Where calls go.
        network: Through what.
    """

    origin: Origin
    network: Network

    @abc.abstractmethod
    def _refused(self, explanation: Explanation, text: str, request: httpx.Request) -> CertificateError:
        """Return the error where our certificate is at fault."""

    @abc.abstractmethod
    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        """Return the error where the server is, or nobody knows; `reason` is its code where TLS has a part in it."""

    @abc.abstractmethod
    def _carried(self, request: httpx.Request) -> Collection[str]:
        """Return the secrets of the request."""

    def of(
        self,
        error: Exception,
        request: httpx.Request,
        presented: Presented,
        trace: ConnectionTrace,
    ) -> Exception | None:
        """Return what is raised in place of a failure; None where the failure says all that is known.

        Args:
            error: What the call failed with, and the cause of what is returned. It is stripped of its frames and its
                request either way, for they hold the token or the client's secret.
            request: The call.
            presented: What the connection presented, and whom it trusted.
            trace: How far it came.
        """
        explanation = self._explain(error, request, presented, trace)
        if explanation is None:
            text = self._unreached(error, request, trace)
            failure = None if text is None else self._unavailable(error, text, None, request)
        elif explanation.side == "client":
            failure = self._refused(explanation, self._text(explanation), request)
        else:
            failure = self._unavailable(error, self._text(explanation), explanation.reason.value, request)
        cause = free_of_secrets(error, self._secrets(request), handled=trace.handled)
        if failure is not None:
            failure.__cause__ = cause
        return failure

    def of_page(
        self, status: int, body: bytes, request: httpx.Request, presented: Presented
    ) -> CertificateError | None:
        """Return what is raised in place of a page by which a web server refuses our certificate; None for others."""
        explanation = explain_reply(status, body, _handshake(request, presented))
        if explanation is None or explanation.side != "client":
            return None
        return self._refused(explanation, self._text(explanation), request)

    def _explain(
        self,
        error: Exception,
        request: httpx.Request,
        presented: Presented,
        trace: ConnectionTrace,
    ) -> Explanation | None:
        if request.url.scheme != "https" or isinstance(error, (httpx.TimeoutException, httpx.ProxyError)):
            return None
        stage = self._stage(trace)
        if stage is None:
            # Whatever failed, and be it a certificate, is the proxy's.
            return None
        handshake = _handshake(request, presented, stage)
        explanation = explain_failure(error, handshake, handled=trace.handled)
        if explanation is None and _is_close(error):
            # Over TLS 1.3 a refusal can end so, its alert lost on the way.
            return explain_close(handshake)
        return explanation

    def _secrets(self, request: httpx.Request) -> Collection[str]:
        """Return what nothing that is raised may repeat."""
        return (*self._carried(request), *self.network.secrets(self.origin))

    def _stage(self, trace: ConnectionTrace) -> Stage | None:
        return trace.stage(tunnelled=self.network.choose_proxy(self.origin) is not None)

    def _text(self, explanation: Explanation) -> str:
        through = self.network.describe(self.origin)
        return f"{explanation.text} ({through})" if through else explanation.text

    def _unreached(self, error: Exception, request: httpx.Request, trace: ConnectionTrace) -> str | None:
        through = self.network.describe(self.origin)
        is_proxys = self._stage(trace) is None
        if not (is_proxys or isinstance(error, _UNREACHED)):
            return None
        where = request.url.netloc.decode("ascii")
        if not through:
            said = explain_connect_error(error, request, self.network.local_address)
            return None if said is None else f"{where}: could not be reached: {said}"
        # A proxy's own words, and it was told the host only; still they are a stranger's.
        problem = sanitize(str(error), secrets=self._secrets(request)) or type(error).__name__
        if is_proxys and not isinstance(error, _UNREACHED[1:]):
            problem += ": the connection with the proxy failed before TLS with the provider began"
        return (
            f"{where}: could not be reached {through}: {problem}; check that the proxy is there, takes its credentials "
            "and lets this host through, or add the host to NO_PROXY"
        )


class ApiErrorTranslator(ErrorTranslator):
    """The failures of API calls: httpx's own kinds of error with more in their text, for that is what callers catch."""

    def _refused(self, explanation: Explanation, text: str, request: httpx.Request) -> CertificateError:
        return CertificateConnectError(text, path=explanation.path, reason=explanation.reason.value, request=request)

    def _carried(self, request: httpx.Request) -> Collection[str]:
        credentials = request.headers.get("Authorization", "").partition(" ")[2]
        return (credentials,) if credentials else ()

    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        kind = type(error) if isinstance(error, httpx.TransportError) else httpx.ReadError
        failure = kind(text, request=request)
        failure.reason = reason  # type: ignore[attr-defined]  # httpx's errors have no such field
        return failure


class TokenErrorTranslator(ErrorTranslator):
    """The failures of token calls."""

    def _refused(self, explanation: Explanation, text: str, request: httpx.Request) -> CertificateError:
        return CertificateError(text, path=explanation.path, reason=explanation.reason.value)

    def _carried(self, request: httpx.Request) -> Collection[str]:
        return secrets_in(request)

    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        return TokenEndpointUnavailable(text, reason=reason)


def is_page(response: httpx.Response) -> bool:
    """Whether a reply may be a web server's own page about certificates, short enough to be read here."""
    headers = response.headers
    length = headers.get("content-length", "")
    return (
        response.status_code in _PAGE_STATUSES
        and headers.get("content-type", "").startswith("text/html")
        and length.isdecimal()
        and int(length) <= _LONGEST_PAGE
    )


def unread(response: httpx.Response, body: bytes) -> httpx.Response:
    """Return a reply whose body was read off the wire as one whose body has yet to be read."""
    return httpx.Response(
        response.status_code,
        headers=response.headers.raw,
        stream=httpx.ByteStream(body),
        extensions=response.extensions,
    )


def _handshake(request: httpx.Request, presented: Presented, stage: Stage = "first") -> HandshakeContext:
    url = request.url
    return HandshakeContext(
        host=url.host,
        port=url.port or 443,
        certificate=presented.certificate,
        now=dt.datetime.now(dt.UTC),
        stage=stage,
        context=presented.context,
    )


def _is_close(error: Exception) -> bool:
    # httpx has one kind of error for a server that went away and for one that speaks no HTTP.
    if isinstance(error, httpx.RemoteProtocolError):
        return str(error).startswith("Server disconnected")
    return isinstance(error, (httpx.ReadError, httpx.WriteError))
