"""Telemetry: traces and metrics of one process, through the OpenTelemetry SDK."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.util.types import AnyValue

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.graph import Graph, Stage, StreamRef
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.destinations import Destinations
from rsq_pipe.telemetry.exporters import address_of, metric_exporter, span_exporter
from rsq_pipe.telemetry.health import Health
from rsq_pipe.telemetry.metrics import Metrics
from rsq_pipe.telemetry.observer import BatchTrace, Observer, SourceObserver, StageGauges, StageObserver
from rsq_pipe.telemetry.record_span import MAX_ERROR
from rsq_pipe.telemetry.sampler import sampler
from rsq_pipe.telemetry.source_spans import SourceSpans
from rsq_pipe.telemetry.span_queue import BATCH, FAREWELL, LONGEST, MAX_QUEUE, PAUSE, SpanQueue
from rsq_pipe.telemetry.stage_spans import StageSpans
from rsq_pipe.telemetry.tally import Tally
from rsq_pipe.telemetry.trace_file import TraceFile
from rsq_pipe.version import __version__

MAX_LINKS = 128
"""Links of a batch's span, unless `OTEL_SPAN_LINK_COUNT_LIMIT` says otherwise; the rest are counted."""


class Telemetry(Observer):
    """
    Trace and measure one process of a pipeline.

    Nothing is global: a handler may use OpenTelemetry with its own set-up. Baggage is neither read nor
    written, and payloads are never attributes.

    Args:
        graph: The pipeline; its `telemetry.sample` defines what is traced unless `OTEL_TRACES_SAMPLER` does.
        to: Where telemetry is sent.
        environ: The `OTEL_*` variables.
        health: Notified of signs of life.
        readers: Readers of the metrics in addition to the exporter, such as Prometheus's.

    Raises:
        RsqPipeError: An exporter's package is not installed.
        OSError: The trace file cannot be opened.
    """

    watches = True

    def __init__(
        self,
        graph: Graph,
        to: Destinations,
        environ: Mapping[str, str],
        health: Health | None = None,
        readers: Sequence[MetricReader] = (),
    ) -> None:
        super().__init__(health)
        self._graph = graph
        self._sampler = sampler(graph.telemetry.sample, environ, trust=graph.telemetry.trust)
        self._queues = [_queue(exporter, environ) for exporter in _span_exporters(to)]
        self._limits = SpanLimits(max_span_attribute_length=MAX_ERROR)
        resource = _resource(graph.pipeline)
        # Sampling is decided before a span is created, so everything that reaches the SDK is wanted.
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, span_limits=self._limits, shutdown_on_exit=False
        )
        for queue in self._queues:
            provider.add_span_processor(queue)
        self._tracer = provider.get_tracer("rsq_pipe", __version__)
        self._tally = Tally()
        if to.metrics:
            readers = [*readers, PeriodicExportingMetricReader(metric_exporter(to.metrics))]
        self._meters = MeterProvider(list(readers), resource, shutdown_on_exit=False) if readers else None
        self._metrics: Metrics | None = None
        if self._meters is not None:
            self._metrics = Metrics(
                self._meters.get_meter("rsq_pipe", __version__),
                graph.pipeline,
                lost=lambda: sum(queue.dropped for queue in self._queues),
                broken=lambda: self._tally.broken,
            )
            self._tally.latency = self._metrics.latency
        self._closed = False

    def stage(self, stage: Stage) -> StageObserver:
        """Follow a worker of a stage, or the writer of a sink."""
        own = {ref for other in self._graph.stages for ref in other.outputs.values()}
        spans = StageSpans(
            self._tracer,
            self._sampler,
            pipeline=self._graph.pipeline,
            stage=stage.name,
            again_stream=stage.again_stream.key(self._graph.pipeline),
            outside=frozenset(ref.name for ref in stage.inputs if _is_outside(ref, own)),
            max_links=self._limits.max_links or MAX_LINKS,
            tally=self._tally,
        )
        return spans if self._metrics is None else MeasuredStage(spans, self._metrics, stage.name)

    def source(self, stage: Stage, target: str) -> SourceObserver:
        """Follow the worker of a source."""
        return SourceSpans(
            self._tracer, self._sampler, pipeline=self._graph.pipeline, stage=stage.name, target=target
        )

    def set_gauges(self, stages: Mapping[str, StageGauges]) -> None:
        """Note what each stage of the pipeline holds."""
        if self._metrics is not None:
            self._metrics.set_gauges(stages)

    def close(self) -> None:
        """
        Export everything, to all destinations at once; idempotent.

        A silent one is given up after two seconds, one that keeps accepting spans after ten.
        """
        if self._closed:
            return
        self._closed = True
        # A queue gives up by itself, a little sooner, so that there is time left to report lost spans.
        ends: list[tuple[Callable[[], object], float]] = [
            (partial(queue.close, FAREWELL * 0.9), LONGEST + FAREWELL) for queue in self._queues
        ]
        if self._meters is not None:
            ends.append((self._meters.shutdown, FAREWELL))
        began = time.monotonic()
        # Daemons: an exporter that hangs is abandoned.
        threads = [threading.Thread(target=end, daemon=True) for end, _ in ends]
        for thread in threads:
            thread.start()
        for thread, (_, most) in zip(threads, ends, strict=True):
            thread.join(max(0.0, began + most - time.monotonic()))


class MeasuredStage(StageObserver):
    """
    Measure a stage worker's batches in addition to tracing them.

    Args:
        spans: Notified of everything.
        metrics: Notified of each batch.
        stage: Its name.
    """

    def __init__(self, spans: StageSpans, metrics: Metrics, stage: str) -> None:
        self._metrics = metrics
        self._stage = stage
        self._spans = spans

    def begin(self, batch: Batch) -> BatchTrace:
        """Note that a batch begins."""
        return MeasuredBatch(self._spans.begin(batch), self._metrics, self._stage)

    def dead_letter(self, stream: str, entry_id: str, deliveries: int, letter: Output) -> Output:
        """Note an entry that no handler sees."""
        return self._spans.dead_letter(stream, entry_id, deliveries, letter)

    def dead_letters_settled(self, lost: Container[tuple[str, str]]) -> None:
        """Note that such entries are settled."""
        self._spans.dead_letters_settled(lost)

    def close(self) -> None:
        """End everything still open."""
        self._spans.close()


class MeasuredBatch(BatchTrace):
    """
    Measure one batch, if it is settled, in addition to tracing it.

    Args:
        spans: Notified of everything.
        metrics: Notified of the batch.
        stage: The stage's name.
    """

    def __init__(self, spans: BatchTrace, metrics: Metrics, stage: str) -> None:
        super().__init__(spans.batch)
        self._spans = spans
        self._metrics = metrics
        self._stage = stage
        self._began = time.monotonic()

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:
        """Note that a record failed."""
        return self._spans.failing(place, error)

    def end(self, outcomes: Outcomes, dispositions: Mapping[int, str], lost: Container[int]) -> None:
        """Measure the batch: its records, however many entries they came in."""
        self._metrics.batch(self._stage, len(self.batch), time.monotonic() - self._began)
        self._spans.end(outcomes, dispositions, lost)

    def close(self) -> None:
        """End everything still open."""
        self._spans.close()


def _is_outside(ref: StreamRef, own: set[StreamRef]) -> bool:
    return ref.external and ref not in own


def _span_exporters(to: Destinations) -> list[SpanExporter]:
    exporters: list[SpanExporter] = []
    if to.trace_file is not None:
        exporters.append(TraceFile(to.trace_file))
    if to.traces:
        exporters.append(span_exporter(to.traces))
    return exporters


def _queue(exporter: SpanExporter, environ: Mapping[str, str]) -> SpanQueue:
    return SpanQueue(
        exporter,
        limit=_number(environ, "OTEL_BSP_MAX_QUEUE_SIZE", MAX_QUEUE),
        batch=_number(environ, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
        pause=_number(environ, "OTEL_BSP_SCHEDULE_DELAY", round(PAUSE * 1000)) / 1000,
        to=address_of(exporter),
    )


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip()
    return int(text) if text.isdigit() and int(text) else default


def _resource(pipeline: str) -> Resource:
    """Describe the reporting process; `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` take precedence."""
    own: dict[str, AnyValue] = {
        "service.name": pipeline,
        "service.namespace": "rsq-pipe",
        "service.version": __version__,
        "service.instance.id": str(uuid.uuid4()),
        "host.name": socket.gethostname(),
        "process.pid": os.getpid(),
    }
    return Resource.create().merge(Resource(own)).merge(OTELResourceDetector().detect())
