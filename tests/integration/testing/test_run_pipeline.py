"""run_pipeline: a whole pipeline on given records, and nothing else touched."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import EncodeError, HandlerError, SpecValidationError
from rsq_pipe.testing import run_pipeline, run_stage
from tests.support.project import Project
from tests.support.signals import eventually

ROOT = Path(__file__).parents[3]
READ = "read: {source: {type: jsonl, path: in.jsonl}}\n"
OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}\n"
LINE = {"product_id": 1, "unit_price": 10.0, "quantity": 1, "discount": 0.0}
WORK = READ + "work: {call: handlers:work}\n" + OUT


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


def test_a_real_pipeline_sorts_the_orders_it_is_given() -> None:
    with (ROOT / "examples/orders/data/orders.jsonl").open() as lines:
        order = json.loads(next(lines)) | {"lines": [LINE], "customer_id": "ALFKI"}
    large = order | {"order_id": 2, "lines": [LINE | {"quantity": 100}]}
    nobody = order | {"order_id": 3, "customer_id": "?"}

    run = run_pipeline(ROOT / "pipelines/orders.yaml", {"read": [order, large, nobody]})

    assert [(found["order_id"], found["company"]) for found in run.sink("small")] == [
        (order["order_id"], "Alfreds Futterkiste")
    ]
    assert [(found["order_id"], found["total"]) for found in run.sink("large")] == [(2, 1000.0)]
    assert run.sink("unshipped") == []
    assert [(letter.record["order_id"], letter.reason) for letter in run.dead("enrich")] == [(3, "rejected")]
    assert run.counts["enrich"].received == 3


def test_no_file_or_server_of_the_pipeline_is_touched(project: Project) -> None:
    project.spec(READ + OUT, top="redis: {url: 'redis://127.0.0.1:1'}")
    before = sorted(project.root.rglob("*"))

    run = run_pipeline(project.path, {"read": numbers(3)})

    assert run.sink("out") == numbers(3)
    assert sorted(project.root.rglob("*")) == before


def test_records_reach_the_handler_as_a_source_would_send_them(project: Project) -> None:
    project.handlers("def work(r, ctx): return {'rid': ctx.rid, **r}")
    project.spec(WORK, top="serializer: msgpack")

    run = run_pipeline(project.path, {"read": [{"pair": (1, 2)}]})

    assert run.sink("out") == [{"rid": "read:records.jsonl:1", "pair": [1, 2]}]


def test_a_stage_alone_does_what_it_does_in_its_pipeline(project: Project) -> None:
    project.handlers(
        """
        from rsq_pipe import Drop, Emit, Reject
        MADE = [
            lambda: {"pair": (1, 2)}, lambda: None, lambda: Drop("why"), lambda: Reject("no"), lambda: 1,
            lambda: [{"a": 1}, Emit({"b": 2}, to="side")], lambda: Emit({"c": 3}, to="side"), lambda: [],
            lambda: Emit({}, to="nowhere"), lambda: {"x": object()}, lambda: {"x": float("nan")},
            lambda: 1 / 0,
        ]
        def work(r): return MADE[r["n"]]()
        """
    )
    project.spec(
        READ
        + "work: {call: handlers:work, ports: [side], retry: {attempts: 1}}\n"
        + OUT
        + "side: {from: work.side, sink: {type: stdout}}"
    )

    alone = run_stage(project.path, "work", numbers(12))
    whole = run_pipeline(project.path, {"read": numbers(12)})

    assert alone.records == whole.sink("out") == [{"pair": [1, 2]}, {"a": 1}]
    assert alone.port("side") == whole.sink("side") == [{"b": 2}, {"c": 3}]
    assert alone.dead == whole.dead("work")
    assert [letter.record["n"] for letter in alone.dead] == [3, 4, 8, 9, 10, 11]
    assert len(alone.dropped) == whole.counts["work"].dropped == 3


def test_retries_are_made_at_once_however_long_they_would_wait(project: Project) -> None:
    project.handlers(
        """
        from rsq_pipe import Retry
        def work(r, ctx):
            if ctx.attempt == 1: return Retry(after="1h")
            if ctx.attempt < r["good_at"]: raise ValueError("not yet")
            return {"attempt": ctx.attempt}
        """
    )
    patience = "defaults: {retry: {attempts: 3, backoff: {first: 1h, max: 1d}}}"
    project.spec(WORK, defaults=patience)

    run = run_pipeline(project.path, {"read": [{"good_at": 3}, {"good_at": 4}]}, timeout=10)

    assert run.sink("out") == [{"attempt": 3}]
    assert run.dead("work") == [({"good_at": 4}, "handler_error", "ValueError: not yet")]
    assert (run.counts["work"].retried, run.counts["work"].dead) == (4, 1)


def test_dead_letters_that_another_stage_reads_are_still_told(project: Project) -> None:
    project.handlers("from rsq_pipe import Reject\ndef work(r): return Reject('no')")
    project.spec(WORK + "bad: {from: work.errors, sink: {type: stdout}}")

    run = run_pipeline(project.path, {"read": [{"n": 1}]})

    assert run.sink("bad") == [{"n": 1}]
    assert run.dead() == run.dead("work") == [({"n": 1}, "rejected", "no")]


def test_streams_from_outside_are_fed_and_published_ones_read(project: Project) -> None:
    project.spec(
        """
        big: {from: {stream: shop/orders}, filter: n > 0, to: {stream: big}}
        double: {from: {stream: big}, map: {n: n * 2}}
        share: {sink: {type: stream, stream: doubled}}
        """
    )

    run = run_pipeline(project.path, streams={"shop/orders": numbers(3)})

    assert run.stream("big") == [{"n": 1}, {"n": 2}]
    assert run.stream("doubled") == [{"n": 2}, {"n": 4}]
    assert list(run.counts) == ["big", "double", "share"]


def test_a_pipeline_without_records_ends(project: Project) -> None:
    project.spec(READ + OUT)

    assert run_pipeline(project.path, {"read": []}).sink("out") == []


def test_a_stage_that_stops_raises_what_stopped_it(project: Project) -> None:
    project.handlers("def work(r): raise ValueError('no')")
    project.spec(WORK, defaults="defaults: {on_error: stop, retry: {attempts: 1}}")

    with pytest.raises(HandlerError, match=r"stage 'work' stopped at record .*ValueError: no"):
        run_pipeline(project.path, {"read": numbers(1)})


def test_after_the_timeout_it_is_told_where_the_records_stand(project: Project) -> None:
    project.handlers("import asyncio\nasync def work(r): await asyncio.Event().wait()")
    project.spec(WORK)

    with pytest.raises(
        TimeoutError, match=r"'orders' was not drained after 0\.5 s: 'work' has 3 in flight\. Look"
    ):
        run_pipeline(project.path, {"read": numbers(3)}, timeout=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"also reads source 'read'; give its records, or an empty list: sources=\{'read': \[\.\.\.\]\}"),
        ({"sources": {"reed": []}}, r"pipeline 'orders' has no source 'reed'; did you mean 'read'\?"),
        ({"sources": {"read": []}, "streams": {"clicks": []}}, "no stream from outside 'clicks'; leave"),
    ],
    ids=["nothing given", "misspelt", "no such stream"],
)
def test_what_is_given_must_be_what_is_read(project: Project, given: dict[str, Any], message: str) -> None:
    project.spec(READ + OUT)

    with pytest.raises(ValueError, match=message):
        run_pipeline(project.path, **given)


def test_a_stream_that_only_others_write_must_be_given(project: Project) -> None:
    project.spec("work: {from: {stream: clicks}, filter: n}\n" + OUT)

    with pytest.raises(ValueError, match="also reads stream from outside 'clicks'"):
        run_pipeline(project.path)


def test_a_given_record_that_no_stream_can_hold_is_named(project: Project) -> None:
    project.spec(READ + OUT)

    with pytest.raises(EncodeError, match=r"record 2 given to 'read': .*JSON"):
        run_pipeline(project.path, {"read": [{"n": 1}, {"n": object()}]})


def test_mistakes_of_the_file_are_raised(project: Project) -> None:
    project.spec("read: {source: {typ: jsonl}}")

    with pytest.raises(SpecValidationError, match="did you mean 'type'"):
        run_pipeline(project.path)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.sink("owt"), r"no sink 'owt'; did you mean 'out'\?"),
        (lambda run: run.stream("x"), "no published stream 'x'; it has none"),
        (lambda run: run.dead("reed"), r"no stage 'reed'; did you mean 'read'\?"),
    ],
    ids=["sink", "stream", "stage"],
)
def test_asking_for_what_is_not_there_names_what_is(
    project: Project, ask: Callable[[Any], Any], message: str
) -> None:
    project.spec(READ + OUT)
    run = run_pipeline(project.path, {"read": []})

    with pytest.raises(LookupError, match=message):
        ask(run)


async def test_under_a_running_event_loop_a_thread_is_the_way(project: Project) -> None:
    project.spec(READ + OUT)

    with pytest.raises(RuntimeError, match=r"await asyncio.to_thread\(run_pipeline, \.\.\.\)"):
        run_pipeline(project.path, {"read": []})

    assert (await asyncio.to_thread(run_pipeline, project.path, {"read": numbers(1)})).sink("out") == numbers(
        1
    )


def test_several_at_once_do_not_meet_and_leave_nothing_behind(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    project.spec(READ + OUT)

    def run(number: int) -> list[dict[str, Any]]:
        return run_pipeline(project.path, {"read": [{"n": number}]}).sink("out")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, range(8)))

    assert found == [[{"n": number}] for number in range(8)]
    assert list(temporary.iterdir()) == []
    eventually(lambda: not processes(str(temporary)), what="servers and keepers have ended")


def processes(folder: str) -> list[str]:
    """List the processes that name a folder in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_text(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if folder in command:
            found.append(command)
    return found
