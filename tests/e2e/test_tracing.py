"""One sampled record is one trace: seen by a collector in another process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.e2e.example import Example
from tests.e2e.traced_project import lasting, run, to, traces, ways
from tests.e2e.traces import STRAIGHT, finish
from tests.support.otlp_receiver import OtlpReceiver, ReceivedSpan
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

PRODUCER, CONSUMER, ERROR = 4, 5, 2


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[OtlpReceiver]:
    with OtlpReceiver(tmp_path) as receiver:
        yield receiver


def of_record(collector: OtlpReceiver, rid: str) -> list[ReceivedSpan]:
    """The spans of one record and its children, in order of time."""
    return sorted((span for span in collector.spans if span.rid.startswith(rid)), key=lambda span: span.end)


def stages(way: list[ReceivedSpan]) -> list[str]:
    return [span.stage for span in way]


def outcomes(way: list[ReceivedSpan]) -> list[str]:
    return [span.attributes["rsq.outcome"] for span in way]


def test_each_order_is_one_trace_from_its_file_to_its_sink(tmp_path: Path, collector: OtlpReceiver) -> None:
    example = Example(tmp_path / "example")

    done = run(example.root, "run", "pipelines/orders.yaml", environ=to(collector.endpoint))

    assert done.returncode == 0, done.stderr
    found = traces(collector.spans)
    assert len(found) == 830
    ends: Counter[str] = Counter()
    for trace in found.values():
        (way,) = ways(trace)
        *before, sink = stages(way)
        assert before == ["read", "validate", "enrich", "price", "route"]
        assert {span.rid for span in way} == {way[0].rid}
        assert [span.kind for span in way] == [PRODUCER] + [CONSUMER] * 5
        assert {span.attributes["rsq.outcome"] for span in way} == {"emitted"}
        assert all(span.attributes["rsq.settled"] for span in way)
        assert all(one.start <= other.start for one, other in pairwise(way))
        ends[sink] += 1
    assert ends == {"large": 395, "small": 414, "unshipped": 21}
    assert len({trace[0].rid for trace in found.values()}) == 830


def test_names_and_attributes_follow_the_messaging_conventions(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("def work(record):\n    return record")
    project.records(range(3))

    finish(project, server, collector)

    first = next(span for span in collector.spans if span.name == "send read")
    assert first.attributes["messaging.system"] == "redis"
    assert first.attributes["messaging.operation.type"] == "send"
    assert first.attributes["messaging.destination.name"] == f"{{{project.pipeline}}}:read"
    assert first.resource["service.name"] == project.pipeline
    work = next(span for span in collector.spans if span.name == "process work" and not span.is_batch)
    assert work.attributes["messaging.operation.name"] == "process"
    assert work.attributes["messaging.consumer.group.name"] == "work"
    assert work.attributes["messaging.message.id"].count("-") == 1
    assert work.attributes["rsq.attempt"] == work.attributes["rsq.delivery_count"] == 1
    batch = next(span for span in collector.spans if span.name == "process work" and span.is_batch)
    assert batch.attributes["messaging.batch.message_count"] == 3
    creators = {(span.trace, span.id) for span in collector.spans if span.name == "send read"}
    assert {(link["trace"], link["id"]) for link in batch.links} == creators
    assert {"trace": batch.trace, "id": batch.id, "rsq.link": "batch"} in work.links


def test_no_payload_is_in_any_span(project: Project, server: StreamServer, collector: OtlpReceiver) -> None:
    project.spec(STRAIGHT)
    project.handlers("def work(record):\n    return record")
    project.records(range(3), secret="the-payload-of-a-record")

    finish(project, server, collector)

    assert "the-payload-of-a-record" not in str(collector.spans)


@pytest.mark.timeout(150)
def test_nothing_is_dropped_at_a_thousand_records_a_batch(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    # It goes on until the collector has them all: how long a busy one is waited for at the end is not this.
    followed = STRAIGHT.replace("path: in.jsonl}", "path: in.jsonl, follow: true}")
    project.spec(followed, defaults="defaults: {batch: {size: 1000, wait: 20ms}}")
    project.handlers("def work(record):\n    return record")
    project.records(range(5_000))

    with lasting(project.root, str(project.path), "--redis", server.url, environ=to(collector.endpoint)):
        eventually(lambda: collector.span_count > 15_000, timeout=100, what="all spans have come")

    found = traces(collector.spans)
    assert len(found) == 5_000
    assert all(
        [span.stage for span in ways(trace)[0]] == ["read", "work", "write"] for trace in found.values()
    )
    batch = max(
        (span for span in collector.spans if span.is_batch),
        key=lambda span: span.attributes["messaging.batch.message_count"],
    )
    assert len(batch.links) == 128
    left_out = batch.attributes["messaging.batch.message_count"] - 128
    assert batch.attributes["rsq.links.left_out"] == left_out > 0


def test_retries_of_a_record_stand_in_its_trace_one_below_the_other(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("""
        def work(record, ctx):
            if record["n"] == 1 and ctx.attempt < 3:
                raise RuntimeError("not yet")
            return record
    """)
    project.records(range(3))

    done = finish(project, server, collector)

    assert done.returncode == 0, done.stderr
    (way,) = ways(of_record(collector, "read:in.jsonl:2"))
    assert stages(way) == ["read", "work", "work", "work", "write"]
    first, second, third = way[1:4]
    assert [span.attributes["rsq.attempt"] for span in (first, second, third)] == [1, 2, 3]
    assert outcomes(way[1:]) == [
        "retried",
        "retried",
        "emitted",
        "emitted",
    ]
    assert first.status == second.status == ERROR
    assert first.events[0]["exception.message"] == "not yet"
    assert first.attributes["error.type"] == "RuntimeError"


def test_replayed_record_begins_a_trace_that_links_to_the_one_it_died_in(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("""
        def work(record):
            if record["n"] == 1 and "mended" not in record:
                raise RuntimeError("bad")
            return record
    """)
    project.records(range(3))
    died = finish(project, server, collector)
    assert died.returncode == 4, died.stderr
    (old,) = ways(of_record(collector, "read:in.jsonl:2"))
    assert outcomes(old) == [
        "emitted",
        "retried",
        "retried",
        "dead-lettered",
    ]

    at = ("--redis", server.url, "--add", "mended=true", "--yes")
    replayed = run(project.root, "dlq", "replay", str(project.path), *at)
    assert replayed.returncode == 0, replayed.stderr
    done = finish(project, server, collector)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == [0, 1, 2]
    new = [span for span in of_record(collector, "read:in.jsonl:2") if span.trace != old[0].trace]
    (way,) = ways(new)
    assert stages(way) == ["work", "write"]
    link = next(link for link in way[0].links if link["rsq.link"] == "replay")
    assert (link["trace"], link["id"]) == (old[-1].trace, old[-1].id)


def test_failing_record_gets_a_trace_though_hardly_any_is_sampled(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("""
        def work(record):
            if record["n"] == 77:
                raise RuntimeError("bad")
            return record
    """)
    project.records(range(100))

    finish(project, server, collector, OTEL_TRACES_SAMPLER="traceidratio", OTEL_TRACES_SAMPLER_ARG="0.0")

    assert {span.rid for span in collector.spans if not span.is_batch} == {"read:in.jsonl:78"}
    (way,) = ways(of_record(collector, "read:in.jsonl:78"))
    assert outcomes(way) == ["retried", "retried", "dead-lettered"]


def test_line_that_cannot_be_read_is_a_trace_of_the_source(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("def work(record):\n    return record")
    (project.root / "in.jsonl").write_text('{"n": 0}\n{half\n')

    finish(project, server, collector)

    (span,) = [span for span in collector.spans if span.attributes.get("rsq.outcome") == "dead-lettered"]
    assert (span.stage, span.rid, span.status) == ("read", "read:in.jsonl:2", ERROR)


def test_trace_of_a_record_survives_the_death_of_its_worker(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT, top="reclaim: {idle: 1s}")
    project.handlers("""
        import os, pathlib, signal
        def work(record):
            died = pathlib.Path("died")
            if record["n"] == 5 and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return record
    """)
    project.records(range(10))
    killed = finish(project, server, collector, OTEL_BSP_SCHEDULE_DELAY="1")
    assert killed.returncode == -9

    done = finish(project, server, collector)

    assert done.returncode == 0, done.stderr
    assert project.numbers() == list(range(10))
    again = [span for span in collector.spans if span.stage == "work" and not span.is_batch]
    assert {span.attributes["rsq.outcome"] for span in again} == {"emitted"}
    # The spans of the killed process itself may be lost with it; what was written carries its context on.
    written = {span.rid: span for span in collector.spans if span.stage == "write" and not span.is_batch}
    assert len(written) == 10
    works = {span.id: span for span in again}
    assert all(works[span.parent].rid == rid for rid, span in written.items())
    # The pack they were in came back, and was split into entries of one record each.
    assert {span.attributes["messaging.destination.name"].rpartition(":")[2] for span in again} == {"again"}


FANNED_OUT = """
    read:
      source: {type: jsonl, path: in.jsonl}
    left:
      from: read
      call: handlers:halve
    right:
      from: read
      map: {m: n}
    write:
      from: [left, right]
      sink: {type: jsonl, path: out.jsonl}
"""


def test_trace_branches_where_records_do(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(FANNED_OUT)
    project.handlers("def halve(record):\n    return [record, record]")
    project.records(range(10))

    done = finish(project, server, collector)

    assert done.returncode == 0, done.stderr
    found = traces(collector.spans)
    assert len(found) == 10
    for trace in found.values():
        assert sorted(map(stages, ways(trace))) == [
            ["read", "left", "write"],
            ["read", "left", "write"],
            ["read", "right", "write"],
        ]


@pytest.mark.parametrize(("sample", "fewest", "most"), [("10/s", 10, 60), ("none", 0, 0), ("all", 500, 500)])
def test_file_says_how_many_are_traced(
    project: Project, server: StreamServer, collector: OtlpReceiver, sample: str, fewest: int, most: int
) -> None:
    project.spec(STRAIGHT, top=f"telemetry: {{sample: {sample}}}")
    project.handlers("def work(record):\n    return record")
    project.records(range(500))

    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
    done = run(project.root, "run", str(project.path), "--redis", server.url, environ=environ)

    assert done.returncode == 0, done.stderr
    found = traces(collector.spans)
    assert fewest <= len(found) <= most
    assert all(stages(ways(trace)[0]) == ["read", "work", "write"] for trace in found.values())
