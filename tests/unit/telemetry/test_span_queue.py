"""Spans on their way: bounded, counted, never waited for."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Sequence
from queue import SimpleQueue

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from rsq_pipe.telemetry.span_queue import OUTAGE, SpanQueue
from tests.support.signals import eventually


class Shelf(SpanExporter):
    """Keeps spans; while `open` is not set an export hangs."""

    def __init__(self, *, is_open: bool = True, result: SpanExportResult = SpanExportResult.SUCCESS) -> None:
        self.spans: list[ReadableSpan] = []
        self.entered = threading.Event()
        self.open = threading.Event()
        self.closed = threading.Event()
        self._result = result
        if is_open:
            self.open.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        self.open.wait()
        self.spans += spans
        return self._result

    def shutdown(self) -> None:
        self.closed.set()


def spans(queue: SpanQueue, count: int) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(str(number)).end()


def test_every_span_arrives_and_the_exporter_is_closed() -> None:
    shelf = Shelf()
    queue = SpanQueue(shelf, batch=10)

    spans(queue, 95)
    queue.shutdown()

    assert [span.name for span in shelf.spans] == [str(number) for number in range(95)]
    assert (queue.exported, queue.dropped) == (95, 0)
    assert shelf.closed.is_set()


def test_spans_that_do_not_fill_a_batch_are_sent_after_the_pause() -> None:
    shelf = Shelf()
    queue = SpanQueue(shelf, batch=1_000, pause=0.01)

    spans(queue, 3)

    assert shelf.entered.wait(5)
    queue.shutdown()


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    shelf = Shelf(is_open=False)
    queue = SpanQueue(shelf, limit=20, batch=10)
    spans(queue, 10)
    assert shelf.entered.wait(5)

    spans(queue, 25)

    assert queue.dropped == 5
    shelf.open.set()
    queue.shutdown()
    assert (queue.exported, queue.dropped) == (30, 5)


def test_exporter_that_hangs_is_left_behind_in_time() -> None:
    shelf = Shelf(is_open=False)
    queue = SpanQueue(shelf, batch=10)
    spans(queue, 30)
    began = time.monotonic()

    queue.close(0.2)

    assert time.monotonic() - began < 1.5
    assert queue.dropped == 30
    shelf.open.set()


class Steady(Shelf):
    """Takes what it is given, one batch after another, each in its time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(is_open=False)
        self._seconds = seconds

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.open.wait(self._seconds)
        self.spans += spans
        return SpanExportResult.SUCCESS


def test_an_exporter_that_goes_on_taking_spans_is_given_the_time_for_all_of_them() -> None:
    shelf = Steady(0.1)
    queue = SpanQueue(shelf, batch=10)
    spans(queue, 100)

    queue.close(0.4)

    assert (queue.exported, queue.dropped) == (100, 0)


def test_an_exporter_that_takes_too_long_for_all_is_left_behind_however_steady_it_is() -> None:
    shelf = Steady(0.1)
    queue = SpanQueue(shelf, batch=1)
    spans(queue, 1_000)
    began = time.monotonic()

    queue.close(0.3, longest=0.8)

    assert time.monotonic() - began < 2
    assert 0 < queue.exported < 1_000
    assert queue.dropped >= 980
    shelf.open.set()


def test_spans_an_exporter_refuses_are_counted() -> None:
    queue = SpanQueue(Shelf(result=SpanExportResult.FAILURE), batch=10)

    spans(queue, 7)
    queue.shutdown()

    assert (queue.exported, queue.dropped) == (0, 7)


class Outage(SpanExporter):
    """Fails, one export at a time as it is told to, and then works."""

    def __init__(self) -> None:
        self.attempts = 0
        self.answers: SimpleQueue[SpanExportResult] = SimpleQueue()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.attempts += 1
        answer = self.answers.get()
        self.taken += len(spans) if answer is SpanExportResult.SUCCESS else 0
        return answer

    def shutdown(self) -> None:
        pass


def test_while_the_exporter_fails_few_spans_wait_and_afterwards_as_many_as_before() -> None:
    exporter, half = Outage(), OUTAGE // 2
    waiting = SpanQueue(exporter, limit=100_000, batch=half)
    spans(waiting, half)
    eventually(lambda: exporter.attempts == 1, what="the first batch is tried")
    spans(waiting, 3 * OUTAGE)
    assert waiting.dropped == 0  # nobody knows yet that it fails

    exporter.answers.put(SpanExportResult.FAILURE)
    eventually(lambda: exporter.attempts == 2, what="the next batch is tried")
    assert waiting.dropped == half + 2 * OUTAGE
    spans(waiting, OUTAGE)
    assert waiting.dropped == half + 2 * OUTAGE + half  # half of them took the place of the batch being tried

    exporter.answers.put(SpanExportResult.SUCCESS)
    eventually(lambda: exporter.attempts == 3, what="the batch after it is tried")
    dropped = waiting.dropped
    spans(waiting, 3 * OUTAGE)
    assert waiting.dropped == dropped

    for _ in range(20):
        exporter.answers.put(SpanExportResult.SUCCESS)
    waiting.shutdown()
    assert exporter.taken == waiting.exported == 5 * OUTAGE - half


def test_a_collector_that_takes_every_other_batch_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    exporter = Outage()
    for _ in range(5):
        exporter.answers.put(SpanExportResult.FAILURE)
        exporter.answers.put(SpanExportResult.SUCCESS)
    queue = SpanQueue(exporter, batch=1)

    spans(queue, 10)
    queue.force_flush()
    eventually(lambda: queue.exported == 5, what="half of them are taken")

    assert len([record for record in caplog.records if "cannot be delivered" in record.message]) == 1
    queue.shutdown()


class Tangle:
    """What refers to itself, as the error of a request that failed does, and its traceback."""

    def __init__(self, spans: Sequence[ReadableSpan]) -> None:
        self.spans = spans
        self.error = self


class Tangled(SpanExporter):
    """Leaves each batch that it cannot export in a reference cycle."""

    def __init__(self) -> None:
        self.left: list[weakref.ref[Tangle]] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.left.append(weakref.ref(Tangle(spans)))
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        pass


def test_a_batch_that_failed_is_freed_at_once_though_its_error_refers_to_itself() -> None:
    exporter = Tangled()
    waiting = SpanQueue(exporter, batch=10)
    gc.disable()
    try:
        spans(waiting, 10)
        eventually(lambda: [one() for one in exporter.left] == [None], what="the batch is freed")
    finally:
        gc.enable()
        waiting.shutdown()
