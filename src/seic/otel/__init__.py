"""Spans and metrics for OpenTelemetry, made of the events; needs `opentelemetry-api` alone.

    seic.otel.instrument(client)

A span `seic.token.refresh` stands for each fetch of a token. It is a root, since it serves many, and is linked to the
span of every call that waited for it; in the trace of such a call a span `seic.token.wait` links back. Each token
request is a client span within the fetch.

Names of its own begin with `seic.`; all others, and the units, are those of the semantic conventions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import httpx

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as error:
    raise ImportError('seic.otel needs opentelemetry-api: run pip install "seic[otel]"') from error

from seic._auth import OAuth2Auth
from seic._config import Config
from seic._errors import ConfigurationError
from seic._listeners import Listener
from seic.otel.instruments import Attributes, instruments_of
from seic.otel.requests import measure
from seic.otel.telemetry import Telemetry

__all__ = ["Teller", "instrument"]


@runtime_checkable
class Teller(Protocol):
    """What tells of tokens: an `OAuth2Auth`, or `seic.fastapi.Logins` with everybody's."""

    @property
    def config(self) -> Config:
        """Where they come from."""
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of each event from now on; the result ends that."""
        ...


def instrument(
    client: httpx.AsyncClient | httpx.Client | Teller,
    *,
    name: str | None = None,
    http: bool = True,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> Callable[[], None]:
    """Make spans and metrics of what a client, an auth of your own client's, or all who log in do from now on.

    An auth that several clients share is to be instrumented once; its clients then are not.

    Args:
        client: Whose tokens and calls; an auth tells of tokens alone, and `seic.fastapi.Logins` of everybody's, but not
            when each person's token expires.
        name: Tells clients of the same host apart, as the attribute `seic.client.name`.
        http: Tell of HTTP requests, too: a span for each token request, and `http.client.request.duration` for each
            request of the client's to the API. False where an instrumentation of httpx already does.
        tracer_provider: Where spans go; None is the global one.
        meter_provider: Where metrics go; None is the global one.

    Returns:
        What ends it.

    Raises:
        ConfigurationError: The client's auth is none of seic's.
    """
    teller = getattr(client, "auth", client)
    if not isinstance(teller, Teller):
        raise ConfigurationError("client: its auth must be a seic.OAuth2Auth", field="client")
    instruments = instruments_of(tracer_provider, meter_provider)
    common: Attributes = {} if name is None else {"seic.client.name": name}
    endings = [teller.listen(Telemetry(instruments, common, token_url=teller.config.token_url, http=http))]
    if isinstance(teller, OAuth2Auth):
        endings.append(instruments.observe(teller, common))
    if http:
        endings += [measure(transport, instruments.call_duration, common) for transport in _transports(client)]

    def end() -> None:
        while endings:
            endings.pop()()

    return end


def _transports(client: Any) -> list[Any]:
    """Return what carries the calls of a client, or of all who log in; an auth of its own carries none."""
    if hasattr(client, "auth"):
        # Only here is each request seen that is sent, and each that fails; httpx has no public way to them.
        return [each for each in (client._transport, *client._mounts.values()) if each is not None]  # noqa: SLF001
    return [client.transport] if hasattr(client, "transport") else []
