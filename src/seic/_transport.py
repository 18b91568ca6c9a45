"""What carries calls: the identity's TLS under httpx, the guard that sees every hop, and the way to the token endpoint.

Redirects are followed below an auth flow, so a flow sees only the first hop; a transport sees each. httpx strips
`Authorization` on the way to another origin but leaves the AppKey, and a TLS client certificate goes to whoever asks.
"""

from __future__ import annotations

import ssl
import threading
from types import TracebackType
from typing import Any, Self

import httpx

from seic._config import Config
from seic._errors import ConfigurationError, HostNotAllowed, SeicError
from seic._model.hosts import Origin
from seic._runtime import in_thread
from seic._tls.context import shared_context


class OriginGuard:
    """Tells whether a URL lies in one origin; made to be cheap, since it is asked on each call and each hop."""

    __slots__ = ("_host", "_port", "_scheme", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        url = httpx.URL(str(origin))
        self._scheme, self._host, self._port = url.scheme, url.host, url.port

    def check(self, url: Any) -> None:
        """Raise unless the URL (of httpx or httpx2) lies in the origin.

        Raises:
            HostNotAllowed: It lies elsewhere.
        """
        if url.host == self._host and url.scheme == self._scheme and url.port == self._port:
            return
        foreign = url.netloc.decode("ascii")
        if not foreign:
            raise HostNotAllowed(
                f"the URL names no host; give the client base_url={str(self.origin)!r}, or call whole URLs", host=""
            )
        if url.host == self._host:
            foreign = f"{url.scheme}://{foreign}"
        raise HostNotAllowed(
            f"{foreign} is not {self.origin}, the only origin that this token, key and certificate may be sent to; "
            "use a client of its own for that host",
            host=foreign,
        )


def _context(config: Config) -> ssl.SSLContext:
    return shared_context(config.certificate, config.ca)


class AsyncTransport(httpx.AsyncBaseTransport):
    """An httpx transport that presents the configuration's certificate, and refuses every other origin.

    The TLS context is built at the first call, off the event loop, once for all transports of one credential.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
        options: Keywords of `httpx.AsyncHTTPTransport` (`http2`, `limits`, `retries`, …).
    """

    def __init__(self, config: Config, *, transport: httpx.AsyncBaseTransport | None = None, **options: Any) -> None:
        _refuse_tls_options(options)
        self._config = config
        self._guard = OriginGuard(config.origin)
        self._options = options
        self._inner = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, if it stays in the origin."""
        self._guard.check(request.url)
        inner = self._inner
        if inner is None:
            context = await in_thread(_context, self._config)
            # Another task may have been faster; two pools would each hold connections.
            inner = self._inner = self._inner or httpx.AsyncHTTPTransport(verify=context, **self._options)
        return await inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._inner is not None:
            await self._inner.aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        await self.aclose()


class Transport(httpx.BaseTransport):
    """The blocking twin of `AsyncTransport`.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
        options: Keywords of `httpx.HTTPTransport`.
    """

    def __init__(self, config: Config, *, transport: httpx.BaseTransport | None = None, **options: Any) -> None:
        _refuse_tls_options(options)
        self._config = config
        self._guard = OriginGuard(config.origin)
        self._options = options
        self._inner = transport
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, if it stays in the origin."""
        self._guard.check(request.url)
        inner = self._inner
        if inner is None:
            with self._lock:
                if self._inner is None:
                    self._inner = httpx.HTTPTransport(verify=_context(self._config), **self._options)
                inner = self._inner
        return inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        if self._inner is not None:
            self._inner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        self.close()


def _refuse_tls_options(options: dict[str, Any]) -> None:
    for name in ("verify", "cert"):
        if name in options:
            raise ConfigurationError(
                f"{name}: whom to trust and which certificate to present stand in seic.Config (ca, certificate)",
                field=name,
            )


class TokenConnector:
    """Opens what carries a token call: the network with the configuration's identity, or a test's transport.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
    """

    def __init__(self, config: Config, transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._transport = transport

    @property
    def owned(self) -> bool:
        """Whether the transport is closed after the call: a test's is the test's."""
        return self._transport is None

    async def open_async(self) -> httpx.AsyncBaseTransport:
        """Return a transport for one call in the running event loop."""
        if self._transport is None:
            return httpx.AsyncHTTPTransport(verify=await in_thread(_context, self._config))
        if isinstance(self._transport, httpx.AsyncBaseTransport):
            return self._transport
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for blocking clients only", field="transport"
        )

    def open_sync(self) -> httpx.BaseTransport:
        """Return a transport for one call in this thread."""
        if self._transport is None:
            return httpx.HTTPTransport(verify=_context(self._config))
        if isinstance(self._transport, httpx.BaseTransport):
            return self._transport
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for async clients only", field="transport"
        )

    def explain(self, error: Exception, request: httpx.Request) -> SeicError | None:
        """Return a better account of a failed connection, or None."""
        return None
