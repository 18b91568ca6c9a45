"""The tracer, the metric instruments, and the gauges that are read from clients."""

from __future__ import annotations

import contextlib
import functools
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import TypeAlias

import attrs
from opentelemetry import metrics, trace

from seic._auth import OAuth2Auth
from seic._errors import CertificateError
from seic._transport import AsyncTransport, Transport

#: The semantic conventions that the names follow.
_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
#: The buckets that the conventions advise for HTTP durations, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

Attributes: TypeAlias = dict[str, str | int | bool]


@attrs.frozen
class _Observation:
    common: Attributes
    has_failed: Callable[[], bool]


class Instruments:
    """The tracer, the metrics, and the auths whose gauges are read.

    Args:
        tracer: Creates the spans.
        meter: Creates the metrics.
    """

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self.tracer = tracer
        self.request_duration = meter.create_histogram(
            "seic.token.request.duration",
            unit="s",
            description="Duration of token requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.wait_duration = meter.create_histogram(
            "seic.token.wait.duration",
            unit="s",
            description="Time that requests waited for a token.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.waiters = meter.create_up_down_counter(
            "seic.token.waiters", unit="{call}", description="Requests that are waiting for a token."
        )
        self.replays = meter.create_counter(
            "seic.call.replays", unit="{call}", description="Requests answered with 401, replayed or not."
        )
        self.call_duration = meter.create_histogram(
            "http.client.request.duration",
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self.queue_duration = meter.create_histogram(
            "http.client.request.time_in_queue",
            unit="s",
            description="Time that requests waited for a connection, if they waited.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        meter.create_observable_up_down_counter(
            "http.client.open_connections",
            callbacks=[self._observe_connections],
            unit="{connection}",
            description="Connections in use (active) and idle.",
        )
        meter.create_observable_gauge(
            "seic.token.time_to_expiry",
            callbacks=[self._observe_tokens],
            unit="s",
            description="Time until the current token expires.",
        )
        meter.create_observable_gauge(
            "seic.certificate.time_to_expiry",
            callbacks=[self._observe_certificates],
            unit="d",
            description="Time until the client certificate expires.",
        )
        meter.create_observable_gauge(
            "seic.rate_limit.remaining",
            callbacks=[self._observe_rate_limits],
            unit="s",
            description="Time until requests are sent again after a 429; 0 without a pause.",
        )
        meter.create_observable_gauge(
            "seic.ready",
            callbacks=[self._observe_readiness],
            unit="{client}",
            description="1 if requests can be sent; 0 without a valid token after a failure, or a usable certificate.",
        )
        # Weak, so that gauges do not keep alive a client that was dropped without being closed.
        self._pools: weakref.WeakKeyDictionary[AsyncTransport | Transport, Attributes] = weakref.WeakKeyDictionary()
        self._observed: weakref.WeakKeyDictionary[OAuth2Auth, _Observation] = weakref.WeakKeyDictionary()

    def observe(self, auth: OAuth2Auth, common: Attributes, *, has_failed: Callable[[], bool]) -> Callable[[], None]:
        """Read the gauges of an auth; the returned function ends that.

        Args:
            auth: The auth.
            common: Attributes of each gauge.
            has_failed: Whether the last token request failed.
        """
        self._observed[auth] = _Observation(common, has_failed)

        def end() -> None:
            self._observed.pop(auth, None)

        return end

    def observe_pool(self, transport: AsyncTransport | Transport, common: Attributes) -> Callable[[], None]:
        """Count the connections of a transport, and record the time in its queue; the returned function ends that.

        Args:
            transport: The transport.
            common: Attributes of each number.
        """
        origin = transport._config.origin  # noqa: SLF001 - not for users
        attributes = {**common, "server.address": origin.host, "server.port": origin.port}
        self._pools[transport] = attributes

        def record(seconds: float) -> None:
            self.queue_duration.record(seconds, attributes)

        waits = transport._waits  # noqa: SLF001 - as above
        waits.append(record)

        def end() -> None:
            self._pools.pop(transport, None)
            waits.remove(record)

        return end

    def _observe_connections(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for transport, attributes in list(self._pools.items()):
            for state, number in zip(("active", "idle"), transport._count_connections(), strict=True):  # noqa: SLF001
                yield metrics.Observation(number, {**attributes, "http.connection.state": state})

    def _observe_tokens(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            token = auth.source.current
            if token is not None and token.expires_at is not None:
                yield metrics.Observation(token.expires_at.timestamp() - time.time(), attributes)

    def _observe_certificates(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            with contextlib.suppress(CertificateError):  # a callback that fails is reported as CertificateRejected
                if auth.certificate is not None:
                    yield metrics.Observation(auth.certificate.days_left(), attributes)

    def _observe_rate_limits(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            if (limit := auth._rate_limit) is not None:  # noqa: SLF001 - not for users
                yield metrics.Observation(limit.remaining, attributes)

    def _observe_readiness(self, _options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        for auth, attributes in self._each():
            is_ready = auth.source.current is not None or not self._observed[auth].has_failed()
            try:
                certificate = auth.certificate
                is_ready = is_ready and (certificate is None or certificate.days_left() > 0)
            except CertificateError:
                is_ready = False
            yield metrics.Observation(int(is_ready), attributes)

    def _each(self) -> Iterator[tuple[OAuth2Auth, Attributes]]:
        for auth, observed in list(self._observed.items()):
            origin = auth.config.origin
            yield auth, {**observed.common, "server.address": origin.host, "server.port": origin.port}


@functools.lru_cache(maxsize=32)
def instruments_of(
    tracer_provider: trace.TracerProvider | None, meter_provider: metrics.MeterProvider | None
) -> Instruments:
    """Return the instruments of these providers, always the same: a second gauge would be observed twice."""
    version = _version()
    return Instruments(
        trace.get_tracer("seic.otel", version, tracer_provider, _SCHEMA),
        metrics.get_meter("seic.otel", version, meter_provider, _SCHEMA),
    )


def _version() -> str:
    try:
        return metadata.version("seic")
    except metadata.PackageNotFoundError:  # runs from a source tree
        return ""
