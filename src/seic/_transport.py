"""Transports of API calls: they present the certificate in use, and refuse other origins, redirects included.

An auth flow sees only the first request of a redirect chain, but a transport sees each. httpx removes `Authorization`
on a redirect to another origin but not the AppKey, and a TLS client certificate is presented to any server that asks.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import httpx

from seic._config import Config, network_of
from seic._errors import ConfigurationError, HostNotAllowed
from seic._httpx import PROOFS, AnyAsyncTransport, AnyBlockingTransport, AsyncBaseTransport, BaseTransport, httpx_of
from seic._identity import Identity, shared_identity
from seic._model.hosts import Origin
from seic._options import TransportOptions
from seic._public import publish

if TYPE_CHECKING:
    from seic._api.rate_limit import RateLimit

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


def _drop_trace(request: Any) -> None:
    """Remove the trace from a request, since this transport has a guard itself."""
    trace = request.extensions.get("trace")
    if isinstance(trace, HopTrace):
        del request.extensions["trace"]
        if trace.then is not None:
            request.extensions["trace"] = trace.then


class _ApiTransport:
    """The members of both transports that send nothing."""

    #: The name of the class that sends over the network.
    _kind: ClassVar[str]

    def __init__(self, config: Config, transport: Any, options: Mapping[str, Any]) -> None:
        _check(config, options)
        self._guard = guard_of(config.origin)
        self._config = config
        self._given = transport
        self._options = options
        self._closed = False
        #: By the class of requests, which is another one for httpx2.
        self._inner: dict[type, Any] = {}
        #: Receive the seconds for which a request waited for a connection, if it waited.
        self._waits: list[Callable[[float], None]] = []
        self._rate_limit = rate_limit_of(config, transport)

    def _count_connections(self) -> tuple[int, int]:
        """Return the numbers of connections in use and idle, as metrics show them."""
        found = [inner.count_connections() for inner in list(self._inner.values())] if self._given is None else []
        return sum(busy for busy, _ in found), sum(idle for _, idle in found)

    def _open(self, kind: type) -> Any:
        """Return the transport that sends requests of a class."""
        if self._closed:
            raise RuntimeError("cannot send a request: the client is closed")
        # Here, since httpcore takes a third as long to import as httpx, which imports it for the first client too.
        from seic._network import identity_transport
        from seic._network.error_translator import ApiErrorTranslator
        from seic._network.transport_adapter import adapt

        module = httpx_of(kind)
        found = self._given
        if found is not None:
            found = adapt(found, module)
        else:
            config = self._config
            errors = ApiErrorTranslator(origin=config.origin, network=network_of(config))
            new = getattr(identity_transport, self._kind)
            found = new(identity_of(config), errors, module=module, **self._options)
            found.waits = self._waits
        if self._rate_limit is not None and self._config.rate_limit_timeout is not None:
            from seic._api.rate_limit_transport import RateLimitTransport

            found = RateLimitTransport(found, self._rate_limit, self._config.rate_limit_timeout)
        # Several threads may come here at once; a transport opens nothing before its first request.
        return self._inner.setdefault(kind, found)

    def _ends(self) -> list[Any]:
        """Return the transports to close."""
        self._closed = True
        return [self._given] if self._given is not None else [*self._inner.values()]


def require_config(config: object) -> None:
    """Raise ConfigurationError for any other object than a configuration."""
    if not isinstance(config, Config):
        raise ConfigurationError(
            f"config: must be a seic.Config, such as seic.Config.from_env(), not {type(config).__name__}",
            field="config",
        )


def identity_of(config: Config) -> Identity:
    """Return the identity of a configuration, which equal configurations share."""
    return shared_identity(
        config.certificate,
        ca=config.ca,
        account=config.account,
        strict=config.strict_common_name,
        probe=config.probe_rotation,
    )


def rate_limit_of(config: Config, transport: object) -> RateLimit | None:
    """Return the limit of a configuration's requests, which all clients of its client id share; None if it is off.

    Clients with a transport of their own, as in tests, share it with those that have the same one.
    """
    if config.rate_limit_timeout is None:
        return None
    from seic._api.rate_limit import RateLimit, shared_limit

    origin, client_id, store = str(config.origin), config.client_id, config.store
    shares = hasattr(store, "claim")

    def new_limit() -> RateLimit:
        limit = RateLimit(config.origin.host)
        if shares and store is not None:
            from seic._api.shared_rate_limit import SharedRateLimit
            from seic._stores.token_cipher import EntryKey

            limit.shared = SharedRateLimit(limit, store, EntryKey.of(client_id, ("rate limit", origin), ()))
        return limit

    # A store of the user's own need not be hashable.
    parts = [one if getattr(one, "__hash__", None) is not None else id(one) for one in (shares and store, transport)]
    return shared_limit((origin, client_id, *parts), new_limit)


def _check(config: object, options: Mapping[str, Any]) -> None:
    require_config(config)
    for name, setting in DECIDED_BY_CONFIG.items():
        if name in options:
            raise ConfigurationError(
                f"{name}: would apply to API calls only, not to token requests; set seic.Config({setting}=...)",
                field=name,
            )


class AsyncTransport(_ApiTransport, AsyncBaseTransport):
    """A transport for httpx and httpx2 that presents the configuration's certificate, and refuses all other origins.

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

    _kind = "AsyncIdentityTransport"

    def __init__(
        self,
        config: Config,
        *,
        transport: AnyAsyncTransport | None = None,
        **options: Unpack[TransportOptions],
    ) -> None:
        super().__init__(config, transport, options)

    def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # whose `async def` is one kind of it
        self, request: Any
    ) -> Coroutine[Any, Any, Any]:
        """Send the request.

        Args:
            request: A request of httpx or httpx2; the response is of the same library.

        Raises:
            HostNotAllowed: It is for another origin.
            CertificateError: The client certificate or the authorities cannot be used, or the server refuses the
                certificate; the latter is a `ConnectError` of httpx too.
            httpx.TransportError: The connection failed for another reason.
        """
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        if PROOFS in request.extensions:
            request.extensions[PROOFS].sign_redirect(request)
        kind = request.__class__
        # Returned, not awaited, to save a coroutine in each request.
        call: Coroutine[Any, Any, Any] = (self._inner.get(kind) or self._open(kind)).handle_async_request(request)
        return call

    async def aclose(self) -> None:
        """Close the connections."""
        for inner in self._ends():
            await inner.aclose()

    async def __aenter__(self) -> Self:
        if self._given is not None:
            await self._given.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        for inner in self._ends():
            await inner.__aexit__(exc_type, exc_value, traceback)


class Transport(_ApiTransport, BaseTransport):
    """The blocking twin of `AsyncTransport`.

    Args:
        config: The configuration.
        transport: A transport to use instead of the network, for tests.
        options: Keywords of `httpx.HTTPTransport`, except those that the configuration sets.

    Raises:
        ConfigurationError: An option would replace a setting of the configuration.
    """

    _kind = "IdentityTransport"

    def __init__(
        self,
        config: Config,
        *,
        transport: AnyBlockingTransport | None = None,
        **options: Unpack[TransportOptions],
    ) -> None:
        super().__init__(config, transport, options)

    def handle_request(self, request: Any) -> Any:
        """Send the request; raises as `AsyncTransport.handle_async_request` does."""
        self._guard.check(request.url)
        if "trace" in request.extensions:
            _drop_trace(request)
        if PROOFS in request.extensions:
            request.extensions[PROOFS].sign_redirect(request)
        kind = request.__class__
        return (self._inner.get(kind) or self._open(kind)).handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        for inner in self._ends():
            inner.close()

    def __enter__(self) -> Self:
        if self._given is not None:
            self._given.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        for inner in self._ends():
            inner.__exit__(exc_type, exc_value, traceback)


publish("seic", ["AsyncTransport", "Transport"], globals())
