"""`ProxyMeter`: the metrics of `seic.otel` and of the proxy's own requests, in Prometheus' text format."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from aiohttp import hdrs, web
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import seic.otel
from seic._client import AsyncClient

#: The path of the metrics; the API has none that begins so.
METRICS_PATH = "/-/metrics"

# The buckets that the semantic conventions advise, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class ProxyMeter:
    """The metrics of one run, in the registry of the process.

    Args:
        client: The client that sends the requests.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._provider = MeterProvider([PrometheusMetricReader()])
        self._end = seic.otel.instrument(client, meter_provider=self._provider)
        meter = self._provider.get_meter("seic.cli")
        self._duration = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._active = meter.create_up_down_counter(
            "http.server.active_requests", unit="{request}", description="Number of active HTTP server requests."
        )

    @contextlib.contextmanager
    def measure(self, request: web.BaseRequest) -> Iterator[dict[str, str | int]]:
        """Count a request; the block adds attributes of its response."""
        method = request.method if request.method in hdrs.METH_ALL else "_OTHER"
        attributes: dict[str, str | int] = {"http.request.method": method, "url.scheme": "http"}
        common = dict(attributes)
        started = time.perf_counter()
        self._active.add(1, common)
        try:
            yield attributes
        except BaseException as error:
            attributes.setdefault("error.type", type(error).__name__)
            raise
        finally:
            self._active.add(-1, common)
            self._duration.record(time.perf_counter() - started, attributes)

    def page(self) -> web.Response:
        """Return the metrics."""
        headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=generate_latest(), headers=headers)

    def close(self) -> None:
        """End the measurement."""
        self._end()
        self._provider.shutdown()
