"""Spans and metrics, kept in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import seic.otel


class Observatory:
    """The OpenTelemetry SDK with in-memory exporters."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader])
        self.tracer = self.tracer_provider.get_tracer("app")

    def instrument(self, client: Any, **options: Any) -> Any:
        """Instrument a client with these providers."""
        return seic.otel.instrument(
            client, tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **options
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        """The ended spans, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Return the spans with this name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only span with this name."""
        (span,) = self.named(name)
        return span

    @property
    def metrics(self) -> list[tuple[InstrumentationScope, Metric]]:
        """The recorded metrics with their instrumentation scopes."""
        data = self._reader.get_metrics_data()
        return [
            (scope.scope, metric)
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric; none if it was not recorded."""
        return [point for _, metric in self.metrics if metric.name == name for point in metric.data.data_points]

    def point(self, name: str) -> Any:
        """Return the only data point of a metric."""
        (point,) = self.points(name)
        return point

    def close(self) -> None:
        """Shut down the providers."""
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()


def links(span: ReadableSpan) -> set[int]:
    """Return the ids of the linked spans."""
    return {link.context.span_id for link in span.links}


def id_of(span: ReadableSpan) -> int:
    """Return the id of a span."""
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    """Return the id of the parent; None for a root."""
    return None if span.parent is None else int(span.parent.span_id)


def facts(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})
