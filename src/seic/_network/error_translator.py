"""Translation of failed connections: httpx's exceptions and web servers' error pages become errors of seic.

`seic._tls.diagnose` determines the cause of a failure; this module selects the exception.
"""

from __future__ import annotations

import abc
import datetime as dt
import functools
import importlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, cast

import httpx

from seic._credential import Credential
from seic._errors import CertificateError, SeicError, TokenEndpointUnavailable
from seic._httpx import either, httpx_of
from seic._model.hosts import Origin
from seic._network.connection_trace import ConnectionTrace
from seic._network.error_frames import bare_request, free_of_secrets
from seic._network.proxies import Network
from seic._oauth.redact import sanitize, secrets_in
from seic._values import frozen

if TYPE_CHECKING:
    from seic._tls.diagnose import HandshakeContext, HandshakeFailure, Stage

#: Web servers' error pages about certificates are short and have a Content-Length.
_LONGEST_PAGE = 4096
_PAGE_STATUSES = frozenset({400, 403, 495, 496})
_UNREACHED_LATER = ("ConnectTimeout", "ProxyError")


class _CertificateConnectError(CertificateError):
    """The client certificate cannot be used for an API call; both a `CertificateError` and a `ConnectError` of httpx.

    It has the request's method and URL only, since headers contain the token.
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
        """A request with the method and URL only."""
        if self._request is None:
            raise RuntimeError("The .request property has not been set.")
        return self._request

    @request.setter
    def request(self, request: httpx.Request) -> None:
        # httpx sets it to the whole request when it raises.
        self._request = bare_request(request)

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made for one of two libraries, so pickle cannot find it by its name.
        return _rebuild_connect_error, (httpx_of(type(self)).__name__, self.args, self.__dict__.copy())


@functools.lru_cache(2)
def _certificate_connect_error(module: Any) -> type[_CertificateConnectError]:
    # Tracebacks show the public class that callers catch.
    return type("CertificateError", (_CertificateConnectError, module.ConnectError), {"__module__": "seic"})


def _rebuild_connect_error(module: str, args: tuple[Any, ...], state: dict[str, Any]) -> _CertificateConnectError:
    kind = _certificate_connect_error(importlib.import_module(module))
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def failures(module: Any) -> tuple[type[Exception], ...]:
    """Return exceptions of a broken connection: those of httpx or httpx2, and alerts under TLS 1.3 as anyio raises."""
    return (module.TransportError, OSError)


@frozen(kw_only=True)
class ErrorTranslator(abc.ABC):
    """Explains failures of requests to one origin, and returns the errors to raise.

    Args:
        origin: The origin.
        network: The network settings.
    """

    origin: Origin
    network: Network

    @abc.abstractmethod
    def _refused(self, explanation: HandshakeFailure, text: str, request: httpx.Request) -> CertificateError:
        """Return the error for a refused client certificate."""

    @abc.abstractmethod
    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        """Return the error for the server's certificate or an unknown cause; `reason` is its code, if any."""

    @abc.abstractmethod
    def _carried(self, request: httpx.Request) -> Collection[str]:
        """Return the secrets in the request."""

    def of(
        self,
        error: Exception,
        request: httpx.Request,
        credential: Credential,
        trace: ConnectionTrace,
    ) -> Exception | None:
        """Return the error to raise instead of a failure; None if the failure itself says everything that is known.

        Args:
            error: The error of the call, and the cause of the returned error. Its frames and its request are removed in
                any case, since they contain the token or the client secret.
            request: The request.
            credential: The certificate and trust of the connection.
            trace: The progress of the connection.
        """
        explanation = self._explain(error, request, credential, trace)
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

    def is_accepted(self, trace: ConnectionTrace) -> bool:
        """Return whether the server is known to have accepted the client certificate, if it asked for one."""
        return self._stage(trace) == "agreed"

    def of_page(
        self, status: int, body: bytes, request: httpx.Request, credential: Credential
    ) -> CertificateError | None:
        """Return the error to raise instead of a web server's page that refuses the certificate; None for others."""
        from seic._tls.diagnose import explain_reply

        explanation = explain_reply(status, body, _handshake(request, credential))
        if explanation is None or explanation.side != "client":
            return None
        return self._refused(explanation, self._text(explanation), request)

    def of_credential(self, error: SeicError) -> SeicError:
        """Return the error to raise for a certificate or authorities that cannot be used."""
        from seic._setting_errors import with_setting_names

        failure = error.fresh()
        failure.message = with_setting_names(error.message, self.network.setting_names)
        failure.args = (failure.message,)
        return failure

    def _explain(
        self,
        error: Exception,
        request: httpx.Request,
        credential: Credential,
        trace: ConnectionTrace,
    ) -> HandshakeFailure | None:
        if request.url.scheme != "https" or isinstance(error, either("TimeoutException", "ProxyError")):
            return None
        stage = self._stage(trace)
        if stage is None:
            # Every failure before the tunnel, also of a certificate, is the proxy's.
            return None
        from seic._tls.diagnose import explain_close, explain_failure

        handshake = _handshake(request, credential, stage)
        explanation = explain_failure(error, handshake, handled=trace.handled)
        if explanation is None and _is_close(error):
            # Over TLS 1.3 a refusal can end like this, without its alert.
            return explain_close(handshake)
        return explanation

    def _secrets(self, request: httpx.Request) -> Collection[str]:
        """Return the secrets that errors must not repeat."""
        return (*self._carried(request), *self.network.secrets(self.origin))

    def _stage(self, trace: ConnectionTrace) -> Stage | None:
        return trace.stage(tunnelled=self.network.choose_proxy(self.origin) is not None)

    def _text(self, explanation: HandshakeFailure) -> str:
        from seic._setting_errors import with_setting_names

        through = self.network.describe(self.origin)
        text = with_setting_names(explanation.text, self.network.setting_names)
        return f"{text} ({through})" if through else text

    def _unreached(self, error: Exception, request: httpx.Request, trace: ConnectionTrace) -> str | None:
        through = self.network.describe(self.origin)
        is_proxys = self._stage(trace) is None
        if not (is_proxys or isinstance(error, either("ConnectError", *_UNREACHED_LATER))):
            return None
        where = request.url.netloc.decode("ascii")
        if not through:
            from seic._network.connect_errors import explain_connect_error

            said = explain_connect_error(error, request, self.network.local_address)
            return None if said is None else f"{where}: could not be reached: {said}"
        # The proxy's own message. It knows the host only, but its message is still untrusted.
        problem = sanitize(str(error), secrets=self._secrets(request)) or type(error).__name__
        if is_proxys and not isinstance(error, either(*_UNREACHED_LATER)):
            problem += ": the connection with the proxy failed before TLS with the provider began"
        return (
            f"{where}: could not be reached {through}: {problem}; check that the proxy is there, takes its credentials "
            "and lets this host through, or add the host to NO_PROXY"
        )


class ApiErrorTranslator(ErrorTranslator):
    """Failures of API calls: the classes of httpx with more detailed messages, since callers catch those."""

    def _refused(self, explanation: HandshakeFailure, text: str, request: httpx.Request) -> CertificateError:
        kind = _certificate_connect_error(httpx_of(type(request)))
        return kind(text, path=explanation.path, reason=explanation.reason.value, request=request)

    def _carried(self, request: httpx.Request) -> Collection[str]:
        credentials = request.headers.get("Authorization", "").partition(" ")[2]
        return (credentials,) if credentials else ()

    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        module = httpx_of(type(request))
        kind: Any = type(error) if isinstance(error, module.TransportError) else module.ReadError
        if kind is module.ConnectTimeout:
            text += "; or raise the connect timeout, timeout=httpx.Timeout(..., connect=...)"
        failure: Any = kind(text, request=request)
        failure.reason = reason  # httpx's errors have no such field
        return cast("Exception", failure)


class TokenErrorTranslator(ErrorTranslator):
    """Failures of token requests."""

    def _refused(self, explanation: HandshakeFailure, text: str, request: httpx.Request) -> CertificateError:
        return CertificateError(text, path=explanation.path, reason=explanation.reason.value)

    def _carried(self, request: httpx.Request) -> Collection[str]:
        return secrets_in(request)

    def _unavailable(self, error: Exception, text: str, reason: str | None, request: httpx.Request) -> Exception:
        return TokenEndpointUnavailable(text, reason=reason)


def is_page(response: httpx.Response) -> bool:
    """Return whether a reply can be a web server's own page about certificates that is short enough to read here."""
    headers = response.headers
    length = headers.get("content-length", "")
    return (
        response.status_code in _PAGE_STATUSES
        and headers.get("content-type", "").startswith("text/html")
        and length.isdecimal()
        and int(length) <= _LONGEST_PAGE
    )


def unread(response: Any, body: bytes) -> Any:
    """Return a response with an unread body from one whose body was read."""
    module = httpx_of(type(response))
    return module.Response(
        response.status_code,
        headers=response.headers.raw,
        stream=module.ByteStream(body),
        extensions=response.extensions,
    )


def _handshake(request: httpx.Request, credential: Credential, stage: Stage = "first") -> HandshakeContext:
    from seic._tls.diagnose import HandshakeContext

    url = request.url
    return HandshakeContext(
        host=url.host,
        port=url.port or 443,
        certificate=credential.certificate,
        now=dt.datetime.now(dt.UTC),
        stage=stage,
        context=credential.context,
    )


def _is_close(error: Exception) -> bool:
    # httpx raises the same error for a closed connection and for a server that does not speak HTTP.
    if isinstance(error, either("RemoteProtocolError")):
        return str(error).startswith("Server disconnected")
    return isinstance(error, either("ReadError", "WriteError"))
