"""The first spans of the records that a source brings."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import headers_of
from rsq_pipe.telemetry.sampler import Sampler
from rsq_pipe.telemetry.source_spans import SourceSpans
from rsq_pipe.telemetry.trace_context import read

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TARGET = "{p}:read"


class Source:
    """A source's observer, and what its spans say by record id."""

    def __init__(self, sample: str = "all") -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self.observer = SourceSpans(
            provider.get_tracer("test"),
            Sampler(parse_sampling(sample)),
            pipeline="p",
            stage="read",
            target=TARGET,
        )

    @property
    def outcomes(self) -> dict[object, tuple[object, object]]:
        told = [dict(span.attributes or {}) for span in self._ended.get_finished_spans()]
        return {one["rsq.rid"]: (one["rsq.outcome"], one["rsq.settled"]) for one in told}


def letter() -> Output:
    why = ["rsq-rid", "read:9", "rsq-dlq-reason", "decode_error", "rsq-dlq-error", "no JSON"]
    return Output("{p}:read:dlq", ["data", b"x", *why])


def brought() -> Batch:
    return Batch([{}, {}], ["read:1", "read:2"], headers={1: {"user": "x", "tracestate": "forged=1"}})


def test_sampled_records_and_all_dead_letters_carry_their_trace_into_the_pipeline() -> None:
    source = Source()
    batch = brought()

    trace = source.observer.enter(batch, [letter()])

    first, second = (read(trace.batch.headers_at(place)) for place in range(2))
    assert first is not None
    assert second is not None
    assert first.trace_id != second.trace_id
    assert first.entered_at == second.entered_at > 0
    assert trace.batch.headers[1]["user"] == "x"
    assert "forged" not in trace.batch.headers[1]["tracestate"]
    assert batch.headers == {1: {"user": "x", "tracestate": "forged=1"}}
    assert read(headers_of(trace.dead[0].fields)) is not None
    assert source.outcomes == {}
    trace.settled(counts=True)
    assert source.outcomes == {
        "read:1": ("emitted", True),
        "read:2": ("emitted", True),
        "read:9": ("dead-lettered", True),
    }


def test_record_that_brings_a_trace_goes_on_in_it() -> None:
    source = Source()

    trace = source.observer.enter(Batch([{}], ["read:1"], headers={0: {"traceparent": PARENT}}), [])

    context = read(trace.batch.headers[0])
    assert context is not None
    assert f"{context.trace_id:032x}" in PARENT
    assert context.parent != PARENT


def test_records_that_another_process_brought_do_not_count() -> None:
    source = Source()
    trace = source.observer.enter(brought(), [letter()])

    trace.settled(counts=False)

    assert set(source.outcomes.values()) == {("unsettled", False)}


def test_two_chunks_may_be_under_way() -> None:
    source = Source()
    first = source.observer.enter(Batch([{}], ["read:1"]), [])
    second = source.observer.enter(Batch([{}], ["read:2"]), [])

    second.settled(counts=False)
    first.settled(counts=True)

    assert source.outcomes == {"read:1": ("emitted", True), "read:2": ("unsettled", False)}


@pytest.mark.parametrize("sample", ["none", "0%"])
def test_records_that_are_not_sampled_are_handed_on_as_they_are(sample: str) -> None:
    source = Source(sample)
    batch = brought()

    trace = source.observer.enter(batch, [])
    trace.settled(counts=True)

    assert trace.batch is batch
    assert source.outcomes == {}


def test_dead_letter_is_left_as_it_is_where_nothing_is_to_be_traced() -> None:
    dead = [letter()]

    assert Source("none").observer.enter(brought(), dead).dead is dead
