"""Transports of API calls: they present the certificate in use, and refuse other origins, redirects included.

An auth flow sees only the first request of a redirect chain, but a transport sees each. httpx removes `Authorization`
on a redirect to another origin but not the AppKey, and a TLS client certificate is presented to any server that asks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from seic._api.dpop_signer import PROOFS, sign_redirect
from seic._config import Config, network_of
from seic._errors import ConfigurationError, HostNotAllowed
from seic._identity import Identity, shared_identity
from seic._model.hosts import Origin
from seic._options import TransportOptions
from seic._public import publish

#: Keywords of httpx that are not accepted, and the setting of the configuration to use instead.
DECIDED_BY_CONFIG = {
    "verify": "ca",
    "cert": "certificate",
    "proxy": "proxy",
    "local_address": "local_address",
    "trust_env": "trust_env",
}


class OriginGuard:
    """Restricts requests to one origin. It is fast, since it checks each request and each redirect.

    URLs are compared as they are sent, so no second parser could read them differently.
    """

    __slots__ = ("_host", "_passed", "_port", "_scheme", "origin")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        url = httpx.URL(str(origin))
        self._scheme, self._host, self._port = url.scheme, url.raw_host, url.port
        # A request's URL is checked in the auth flow and in the transport. URL objects are immutable.
        self._passed: Any = None

    def allows(self, url: Any) -> bool:
        """Return whether a URL of httpx or httpx2 is in the origin."""
        return bool(url.raw_host == self._host and url.scheme == self._scheme and url.port == self._port)

    def check(self, url: Any) -> None:
        """Raise unless a URL of httpx or httpx2 is in the origin.

        Raises:
            HostNotAllowed: It is in another.
        """
        if url is self._passed:
            return
        # Repeated from `allows` for speed: each request is checked here.
        if url.raw_host != self._host or url.scheme != self._scheme or url.port != self._port:
            raise self._refusal(url.scheme, url.raw_host, url.port)
        self._passed = url

    def check_hop(self, url: Any) -> None:
        """Raise unless a URL of httpcore or httpcore2, with parts in bytes, is in the origin.

        Raises:
            HostNotAllowed: It is in another.
        """
        if url.host != self._host or url.scheme.decode() != self._scheme or url.port != self._port:
            raise self._refusal(url.scheme.decode(), url.host, url.port)

    def _refusal(self, scheme: str, raw_host: bytes, port: int | None) -> HostNotAllowed:
        host = raw_host.decode("ascii")
        if not host:
            return HostNotAllowed(
                f"the URL has no host; set base_url={str(self.origin)!r} on the client, or use full URLs", host=""
            )
        netloc = f"[{host}]" if ":" in host else host
        if port is not None:
            netloc = f"{netloc}:{port}"
        return HostNotAllowed(
            f"{scheme}://{netloc} is not {self.origin}, the only origin that may receive this token, key and "
            "certificate; use a separate client for that host",
            host=netloc,
        )


@functools.lru_cache(64)
def guard_of(origin: Origin) -> OriginGuard:
    """Return the guard of an origin, which all its users share."""
    return OriginGuard(origin)


class HopTrace:
    """httpcore's `trace` extension: it stops a request to another origin before its headers are sent.

    It is for transports without a guard: an extension is kept on a redirect, as headers are.
    """

    __slots__ = ("_guard", "then")

    def __init__(self, guard: OriginGuard, then: Callable[[str, Any], Any] | None = None) -> None:
        self._guard = guard
        #: The user's own trace.
        self.then = then

    def watch(self, request: Any) -> None:
        """Check each request and redirect, in addition to an existing trace."""
        present = request.extensions.get("trace")
        if present is None:
            request.extensions["trace"] = self
        elif present is not self:
            own = present.then if isinstance(present, HopTrace) else present
            request.extensions["trace"] = type(self)(self._guard, own)

    def _check(self, step: str, info: Any) -> None:
        # The CONNECT request to a proxy contains nothing of this request.
        if step.endswith(".send_request_headers.started") and info["request"].method != b"CONNECT":
            self._guard.check_hop(info["request"].url)


class BlockingTrace(HopTrace):
    """The trace of a blocking client's request."""

    __slots__ = ()

    def __call__(self, step: str, info: Any) -> None:
        """Raise if the origin is another; httpcore calls this."""
        self._check(step, info)
        if self.then is not None:
            self.then(step, info)


class AsyncTrace(HopTrace):
    """The trace of an async client's request."""

    __slots__ = ()

    async def __call__(self, step: str, info: Any) -> None:
        """Raise if the origin is another; httpcore calls this."""
        self._check(step, info)
        if self.then is not None:
            await self.then(step, info)


def _drop_trace(request: httpx.Request) -> None:
    """Remove the trace from a request, since this transport has a guard itself."""
    trace = request.extensions.get("trace")
    if isinstance(trace, HopTrace):
        del request.extensions["trace"]
        if trace.then is not None:
            request.extensions["trace"] = trace.then


def require_config(config: object) -> None:
    """Raise ConfigurationError for any other object than a configuration."""
    if not isinstance(config, Config):
        raise ConfigurationError(
            f"config: must be a seic.Config, such as seic.Config.from_env(), not {type(config).__name__}",
            field="config",
        )


def identity_of(config: Config) -> Identity:
    """Return the identity of a configuration, which equal configurations share."""
    return shared_identity(config.certificate, ca=config.ca, account=config.account, strict=config.strict_common_name)


def _check(config: object, options: Mapping[str, Any]) -> None:
    require_config(config)
    for name, setting in DECIDED_BY_CONFIG.items():
        if name in options:
            raise ConfigurationError(
                f"{name}: would apply to API calls only, not to token requests; set seic.Config({setting}=...)",
                field=name,
            )


def _new_transport(config: Config, name: str, options: Mapping[str, Any]) -> Any:
    # Here, since httpcore takes a third as long to import as httpx, which imports it for the first client too.
    from seic._network import identity_transport
    from seic._network.error_translator import ApiErrorTranslator

    errors = ApiErrorTranslator(origin=config.origin, network=network_of(config))
    return getattr(identity_transport, name)(identity_of(config), errors, **options)


class AsyncTransport(httpx.AsyncBaseTransport):
    """An httpx transport that presents the configuration's certificate, and refuses all other origins.

    The TLS context is built for the first request, off the event loop. After a renewal of the certificate, new
    connections present the new one, and requests in progress end normally.

    Args:
        config: The configuration.
        transport: A transport to use instead of the network, for tests.
        options: Keywords of `httpx.AsyncHTTPTransport` (`http2`, `limits`, `retries`, …), except those that the
            configuration sets: `verify`, `cert`, `proxy`, `local_address`, `trust_env`.

    Raises:
        ConfigurationError: An option would replace a setting of the configuration.
    """

    def __init__(
        self, config: Config, *, transport: httpx.AsyncBaseTransport | None = None, **options: Unpack[TransportOptions]
    ) -> None:
        _check(config, options)
        self._guard = guard_of(config.origin)
        self._inner = _new_transport(config, "AsyncIdentityTransport", options) if transport is None else transport

    def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # whose `async def` is one kind of it
        self, request: httpx.Request
    ) -> Coroutine[Any, Any, httpx.Response]:
        """Send the request.

        Raises:
            HostNotAllowed: It is for another origin.
            CertificateError: The client certificate or the authorities cannot be used, or the server refuses the
                certificate; the latter is an `httpx.ConnectError` too.
            httpx.TransportError: The connection failed for another reason.
        """
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        if PROOFS in request.extensions:
            sign_redirect(request)
        # Returned, not awaited, to save a coroutine in each request.
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
        config: The configuration.
        transport: A transport to use instead of the network, for tests.
        options: Keywords of `httpx.HTTPTransport`, except those that the configuration sets.

    Raises:
        ConfigurationError: An option would replace a setting of the configuration.
    """

    def __init__(
        self, config: Config, *, transport: httpx.BaseTransport | None = None, **options: Unpack[TransportOptions]
    ) -> None:
        _check(config, options)
        self._guard = guard_of(config.origin)
        self._inner = _new_transport(config, "IdentityTransport", options) if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; raises as `AsyncTransport.handle_async_request` does."""
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        if PROOFS in request.extensions:
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


publish("seic", ["AsyncTransport", "Transport"], globals())
