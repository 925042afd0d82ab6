"""Records from outside continue their traces, and a collector that is away stops nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from rsq_pipe import StreamClient
from tests.e2e.traced_project import lasting, run, to
from tests.e2e.traces import STRAIGHT, finish, written
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.preloaded import ANEW
from tests.support.project import Project
from tests.support.server import StreamServer


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[OtlpReceiver]:
    with OtlpReceiver(tmp_path) as receiver:
        yield receiver


def test_disabled_sdk_silences_everything(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(STRAIGHT)
    project.handlers("def work(record, ctx):\n    return {'headers': sorted(ctx.headers)}")
    project.records([1])

    done = finish(project, server, collector, "--trace-file", "t.jsonl", OTEL_SDK_DISABLED="true")

    assert done.returncode == 0, done.stderr
    assert project.lines() == [{"headers": ["rsq-rid"]}]
    assert collector.requests == 0
    assert not (project.root / "t.jsonl").exists()


OUTSIDE = """
    enter:
      from: {stream: STREAM}
      call: handlers:work
    write:
      sink: {type: jsonl, path: out.jsonl}
"""
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "continued"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-01-extra", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        ("00-" + "A" * 100_000, False),
        ("\r\n\x1b[31m", False),
    ],
    ids=["valid", "too-long", "zero-trace", "forbidden-version", "huge", "control-characters"],
)
async def test_record_from_outside_continues_its_trace_only_if_its_traceparent_is_sound(
    project: Project, server: StreamServer, collector: OtlpReceiver, header: str, continued: bool
) -> None:
    project.spec(OUTSIDE.replace("STREAM", f"{project.pipeline}-in"))
    project.handlers("def work(record):\n    return record")
    async with StreamClient.from_url(server.url) as client:
        await client.push(f"{project.pipeline}-in", b'{"n": 1}', {"traceparent": header})

    with lasting(project.root, str(project.path), "--redis", server.url, environ=to(collector.endpoint)):
        await written(project)

    enter = next(span for span in collector.spans if span.stage == "enter" and not span.is_batch)
    assert ((enter.trace, enter.parent) == (TRACE, PARENT)) is continued
    assert continued or not enter.parent


async def test_entry_that_no_handler_saw_is_a_trace_that_its_dead_letter_names(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(OUTSIDE.replace("STREAM", f"{project.pipeline}-in"))
    project.handlers("def work(record):\n    return record")
    async with StreamClient.from_url(server.url) as client:
        await client.push(f"{project.pipeline}-in", b"{half", {})
        await client.push(f"{project.pipeline}-in", b'{"n": 1}', {})

    with lasting(project.root, str(project.path), "--redis", server.url, environ=to(collector.endpoint)):
        await written(project)

    (span,) = [span for span in collector.spans if span.attributes.get("rsq.outcome") == "dead-lettered"]
    listed = run(project.root, "dlq", "show", str(project.path), "--redis", server.url, "--json")
    (letter,) = map(json.loads, listed.stdout.splitlines())
    assert (letter["reason"], letter["trace_id"]) == ("decode_error", span.trace)


async def test_record_whose_sender_does_not_sample_it_is_not_traced(
    project: Project, server: StreamServer, collector: OtlpReceiver
) -> None:
    project.spec(OUTSIDE.replace("STREAM", f"{project.pipeline}-in"))
    project.handlers("def work(record, ctx):\n    return record | {'parent': ctx.headers['traceparent']}")
    header = f"00-{TRACE}-{PARENT}-00"
    async with StreamClient.from_url(server.url) as client:
        await client.push(f"{project.pipeline}-in", b'{"n": 1}', {"traceparent": header})

    environ = to(collector.endpoint, OTEL_TRACES_SAMPLER="parentbased_always_on")
    with lasting(project.root, str(project.path), "--redis", server.url, environ=environ):
        await written(project)

    assert project.lines()[0]["parent"] == header
    assert collector.spans == []


def test_without_a_collector_no_tracing_is_loaded_and_no_header_written(
    project: Project, server: StreamServer
) -> None:
    project.spec(STRAIGHT)
    project.handlers("""
        import sys
        def work(record, ctx):
            return {"headers": sorted(ctx.headers), "loaded": "opentelemetry.sdk.trace" in sys.modules}
    """)
    project.records([1])

    done = run(project.root, "run", str(project.path), "--redis", server.url, environ={ANEW: "1"})

    assert done.returncode == 0, done.stderr
    assert project.lines() == [{"headers": ["rsq-rid"], "loaded": False}]


@pytest.mark.parametrize("dead", ["refuses", "hangs"])
def test_collector_that_takes_nothing_holds_up_neither_the_run_nor_its_end(
    project: Project, server: StreamServer, tmp_path: Path, dead: str
) -> None:
    project.spec(STRAIGHT)
    project.handlers("def work(record):\n    return record")
    project.records(range(2_000))
    receiver = OtlpReceiver(tmp_path, hang=True)
    with receiver if dead == "hangs" else nullcontext():
        began = time.monotonic()

        done = finish(project, server, receiver)

        took = time.monotonic() - began
    assert done.returncode == 0, done.stderr
    assert project.numbers() == list(range(2_000))
    # One request alone may take 10 s by the standard's default; the end of a process waits 2 s for all.
    assert took < 8
    assert "spans were lost" in done.stderr
