"""TracedStage: a stage worker's observer with its spans at hand, and batches for it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Emitted, Outcomes
from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.telemetry.observer import BatchTrace
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.stage_spans import StageSpans
from rsq_pipe.telemetry.tally import Tally

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
INPUT, AGAIN = "{p}:above", "{p}:work:again"


class TracedStage:
    """A stage worker's observer, and the spans it has ended."""

    def __init__(self, sample: str = "all", *, is_entry: bool = False, trust: bool = False) -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self.tally = Tally()
        self.observer = StageSpans(
            provider.get_tracer("test"),
            Sampler(parse_sampling(sample), trust=trust),
            pipeline="p",
            stage="work",
            again_stream=AGAIN,
            outside=frozenset([INPUT] if is_entry else []),
            max_links=3,
            tally=self.tally,
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._ended.get_finished_spans() if "rsq.rid" in facts(span)]

    @property
    def batches(self) -> list[ReadableSpan]:
        return [span for span in self._ended.get_finished_spans() if "rsq.rid" not in facts(span)]


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def batch_of(*headers: Mapping[str, str], stream: str = INPUT, entries: list[int] | None = None) -> Batch:
    """
    Make a batch with one record for each mapping of headers.

    Args:
        headers: Each record's, besides its id.
        stream: Where all of them came from.
        entries: How many records each entry holds; one if left out.
    """
    held = entries or [1] * len(headers)
    return Batch(
        [{} for _ in headers],
        [f"r:{place + 1}" for place in range(len(headers))],
        [entry for entry, records in enumerate(held) for _ in range(records)],
        [Delivery(stream, f"1700000000000-{number + 1}", 1) for number in range(len(held))],
        {place: some for place, some in enumerate(headers) if some},
    )


NONE: dict[str, str] = {}
TRACED = {"traceparent": PARENT}


def end(
    trace: BatchTrace, *, dispositions: Mapping[int, str] | None = None, lost: Container[int] = ()
) -> None:
    """End a batch in which every record that did not fail was emitted."""
    places = [place for place in range(len(trace.batch)) if place not in (dispositions or {})]
    rids = [trace.batch.rids[place] for place in places]
    emitted = Emitted([{} for _ in places], rids, places)
    trace.end(Outcomes({"": emitted}), dispositions or {}, lost)
