"""OpenTelemetry spans and metrics, made from seic's events; needs only `opentelemetry-api`.

    seic.otel.instrument(client)

Each token refresh is a span `seic.token.refresh`. It is a root span, since one refresh serves many requests, and it is
linked to the span of each request that waited for it. In the trace of such a request, a span `seic.token.wait` links
back. Each token request is a client span below the refresh.

Names specific to seic begin with `seic.`; all others, and the units, follow the semantic conventions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import httpx

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as _error:
    raise ImportError('seic.otel needs opentelemetry-api: run pip install "seic[otel]"') from _error

from seic._auth import OAuth2Auth
from seic._config import Config
from seic._errors import ConfigurationError
from seic._listeners import Listener
from seic._transport import AsyncTransport, Transport
from seic.otel._http_attributes import measure
from seic.otel._instruments import Attributes, instruments_of
from seic.otel._telemetry import Telemetry

__all__ = ["EventSource", "instrument"]


@runtime_checkable
class EventSource(Protocol):
    """Emits events about tokens: a `seic.OAuth2Auth`, or `seic.fastapi.Logins` for all users."""

    @property
    def config(self) -> Config:
        """The config that the tokens belong to."""
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener with each event; the returned function removes it."""
        ...


def instrument(
    client: httpx.AsyncClient | httpx.Client | EventSource,
    *,
    name: str | None = None,
    http: bool = True,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Create spans and metrics for a client, an auth, or all logged-in users, from now on.

    If several clients share an auth, instrument the auth once and not its clients.

    Args:
        client: A client, for its tokens and requests; an auth, for its tokens only; or `seic.fastapi.Logins`, for the
            tokens and requests of all users, without a gauge of each user's token.
        name: Distinguishes clients of the same host, as the attribute `seic.client.name`.
        http: Also create a span for each token request, and record `http.client.request.duration` for each request to
            the API. Set False if httpx is instrumented already.
        tracer_provider: Receives the spans; None for the global provider.
        meter_provider: Receives the metrics; None for the global provider.

    Returns:
        A function that ends the instrumentation.

    Raises:
        ConfigurationError: The client's auth is not a `seic.OAuth2Auth`.
    """
    source = getattr(client, "auth", client)
    if not isinstance(source, EventSource):
        raise ConfigurationError("client: its auth must be a seic.OAuth2Auth", field="client")
    instruments = instruments_of(tracer_provider, meter_provider)
    common: Attributes = {} if name is None else {"seic.client.name": name}
    telemetry = Telemetry(instruments, common, token_url=source.config.token_url, http=http)
    endings = [source.listen(telemetry)]
    if isinstance(source, OAuth2Auth):
        endings.append(instruments.observe(source, common, has_failed=lambda: telemetry.failed))
    pools = [getattr(transport, "inner", transport) for transport in _transports(client)]
    endings += [
        instruments.observe_pool(pool, common) for pool in pools if isinstance(pool, AsyncTransport | Transport)
    ]
    if http:
        endings += [measure(transport, instruments.call_duration, common) for transport in _transports(client)]

    def end() -> None:
        while endings:
            endings.pop()()

    return end


def _transports(client: Any) -> list[Any]:
    """Return the transports of a client or of `Logins`; an auth has none."""
    if hasattr(client, "auth"):
        # Only the transport sees each request that is sent and each that fails; httpx has no public access to it.
        return [each for each in (client._transport, *client._mounts.values()) if each is not None]  # noqa: SLF001
    return [client.transport] if hasattr(client, "transport") else []
