"""What carries API calls: the guard that sees every hop, over the network with the identity in service.

Redirects are followed below an auth flow, so a flow sees only the first hop; a transport sees each. httpx strips
`Authorization` on the way to another origin but leaves the AppKey, and a TLS client certificate goes to whoever asks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from seic._api.dpop_signer import sign_redirect
from seic._config import Config
from seic._errors import ConfigurationError, HostNotAllowed
from seic._model.hosts import Origin
from seic._network.error_translator import ApiErrorTranslator
from seic._network.pools import AsyncPools, Pools
from seic._options import TransportOptions

#: Keywords of httpx, and the setting of the configuration that decides instead, for token and API calls alike.
DECIDED_BY_CONFIG = {
    "verify": "ca",
    "cert": "certificate",
    "proxy": "proxy",
    "local_address": "local_address",
    "trust_env": "trust_env",
}


class OriginGuard:
    """Keeps calls within one origin; made to be cheap, since it is asked on each call and each hop.

    URLs are compared as they go on the wire, so there is no second reading of one that could differ.
    """

    __slots__ = ("_host", "_passed", "_port", "_scheme", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        url = httpx.URL(str(origin))
        self._scheme, self._host, self._port = url.scheme, url.raw_host, url.port
        # A call's URL comes by twice, first in the auth flow and then in the transport. URLs never change.
        self._passed: Any = None

    def allows(self, url: Any) -> bool:
        """Tell whether a URL of httpx or httpx2 lies in the origin."""
        return bool(url.raw_host == self._host and url.scheme == self._scheme and url.port == self._port)

    def check(self, url: Any) -> None:
        """Raise unless a URL of httpx or httpx2 lies in the origin.

        Raises:
            HostNotAllowed: It lies elsewhere.
        """
        if url is self._passed:
            return
        # Written out, not asked of `allows`: each call passes here.
        if url.raw_host != self._host or url.scheme != self._scheme or url.port != self._port:
            raise self._refusal(url.scheme, url.raw_host, url.port)
        self._passed = url

    def check_hop(self, url: Any) -> None:
        """Raise unless a URL of httpcore or httpcore2 lies in the origin, whose parts are bytes.

        Raises:
            HostNotAllowed: It lies elsewhere.
        """
        if url.host != self._host or url.scheme.decode() != self._scheme or url.port != self._port:
            raise self._refusal(url.scheme.decode(), url.host, url.port)

    def _refusal(self, scheme: str, raw_host: bytes, port: int | None) -> HostNotAllowed:
        host = raw_host.decode("ascii")
        if not host:
            return HostNotAllowed(
                f"the URL names no host; give the client base_url={str(self.origin)!r}, or call whole URLs", host=""
            )
        netloc = f"[{host}]" if ":" in host else host
        if port is not None:
            netloc = f"{netloc}:{port}"
        return HostNotAllowed(
            f"{scheme}://{netloc} is not {self.origin}, the only origin that this token, key and certificate may be "
            "sent to; use a client of its own for that host",
            host=netloc,
        )


@functools.lru_cache(64)
def guard_of(origin: Origin) -> OriginGuard:
    """Return the guard of an origin, one for all that guard it."""
    return OriginGuard(origin)


class HopTrace:
    """httpcore's `trace` extension: told of each step of a request, it stops a foreign hop before its head is sent.

    It is for transports that have no guard of their own: an extension goes along with a redirect as headers do.
    """

    __slots__ = ("_guard", "then")

    def __init__(self, guard: OriginGuard, then: Callable[[str, Any], Any] | None = None) -> None:
        self._guard = guard
        #: The user's own trace.
        self.then = then

    def watch(self, request: Any) -> None:
        """Have each hop of the request checked, beside what else traces it."""
        present = request.extensions.get("trace")
        if present is None:
            request.extensions["trace"] = self
        elif present is not self:
            own = present.then if isinstance(present, HopTrace) else present
            request.extensions["trace"] = type(self)(self._guard, own)

    def _check(self, step: str, info: Any) -> None:
        # What is asked of a proxy first, CONNECT, carries nothing of the request.
        if step.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._guard.check_hop(info["request"].url)


class BlockingTrace(HopTrace):
    """The trace of a blocking client's request."""

    __slots__ = ()

    def __call__(self, step: str, info: Any) -> None:
        """Raise where the hop is foreign; httpcore calls this."""
        self._check(step, info)
        if self.then is not None:
            self.then(step, info)


class AsyncTrace(HopTrace):
    """The trace of an async client's request."""

    __slots__ = ()

    async def __call__(self, step: str, info: Any) -> None:
        """Raise where the hop is foreign; httpcore calls this."""
        self._check(step, info)
        if self.then is not None:
            await self.then(step, info)


def _drop_trace(request: httpx.Request) -> None:
    """Spare a request the trace, where a transport guards each hop itself."""
    trace = request.extensions.get("trace")
    if isinstance(trace, HopTrace):
        del request.extensions["trace"]
        if trace.then is not None:
            request.extensions["trace"] = trace.then


def require_config(config: object) -> None:
    """Raise ConfigurationError where something else stands in a configuration's place."""
    if not isinstance(config, Config):
        raise ConfigurationError(
            f"config: must be a seic.Config, such as seic.Config.from_env(), not {type(config).__name__}",
            field="config",
        )


def _check(config: object, options: Mapping[str, Any]) -> None:
    require_config(config)
    for name, setting in DECIDED_BY_CONFIG.items():
        if name in options:
            raise ConfigurationError(
                f"{name}: would hold for API calls alone, and token calls go the same way; say it for both: "
                f"seic.Config({setting}=...)",
                field=name,
            )


class AsyncTransport(httpx.AsyncBaseTransport):
    """An httpx transport that presents the configuration's certificate, and refuses every other origin.

    The TLS context is built at the first call, off the event loop. When the certificate is renewed, new calls present
    the new one and those under way end as they began; none fails for it.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
        options: Keywords of `httpx.AsyncHTTPTransport` (`http2`, `limits`, `retries`, …), all but those that
            the configuration decides: `verify`, `cert`, `proxy`, `local_address`, `trust_env`.

    Raises:
        ConfigurationError: An option would replace what the configuration says.
    """

    def __init__(
        self, config: Config, *, transport: httpx.AsyncBaseTransport | None = None, **options: Unpack[TransportOptions]
    ) -> None:
        _check(config, options)
        self._guard = guard_of(config.origin)
        failures = ApiErrorTranslator(origin=config.origin, network=config.network)
        self._inner = AsyncPools(config.presenter, failures, **options) if transport is None else transport

    def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # whose `async def` is one kind of it
        self, request: httpx.Request
    ) -> Coroutine[Any, Any, httpx.Response]:
        """Send the request, if it stays in the origin.

        Raises:
            HostNotAllowed: It does not.
            CertificateError: The client certificate or the authorities cannot work, or the server refuses the
                certificate; the latter is an `httpx.ConnectError` too.
            httpx.TransportError: The connection failed otherwise.
        """
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        sign_redirect(request)
        # Handed on, not awaited: one coroutine less in the way of each call.
        return self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        await self._inner.__aexit__(exc_type, exc_value, traceback)


class Transport(httpx.BaseTransport):
    """The blocking twin of `AsyncTransport`.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
        options: Keywords of `httpx.HTTPTransport`, all but those that the configuration decides.

    Raises:
        ConfigurationError: An option would replace what the configuration says.
    """

    def __init__(
        self, config: Config, *, transport: httpx.BaseTransport | None = None, **options: Unpack[TransportOptions]
    ) -> None:
        _check(config, options)
        self._guard = guard_of(config.origin)
        failures = ApiErrorTranslator(origin=config.origin, network=config.network)
        self._inner = Pools(config.presenter, failures, **options) if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request, if it stays in the origin; raises as `AsyncTransport.handle_async_request` does."""
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        sign_redirect(request)
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        self._inner.close()

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        self._inner.__exit__(exc_type, exc_value, traceback)
