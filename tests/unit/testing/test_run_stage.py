"""run_stage: what a test sees of a stage is what a run would do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from rsq_pipe.errors import EncodeError, SpecSyntaxError, SpecValidationError
from rsq_pipe.testing import StageRun, run_stage
from tests.support.project import Project

READ = "read: {source: {type: jsonl, path: '*.jsonl'}}\n"
OUT = "\nout: {sink: {type: jsonl, path: out/all.jsonl}}"


@pytest.fixture
def try_stage(project: Project) -> Any:
    """Run a stage that has these settings, with these handlers."""

    def run(settings: str, *records: Any, handlers: str = "", top: str = "", **how: Any) -> StageRun:
        project.handlers(handlers)
        project.spec(READ + "work:\n" + indent(settings, "  ") + OUT, top=top)
        return run_stage(project.path, "work", records, **how)

    return run


def numbers(count: int) -> list[dict[str, Any]]:
    return [{"n": n} for n in range(count)]


def test_the_output_gets_what_the_handler_returns(try_stage: Any) -> None:
    run = try_stage(
        "call: handlers:work", {"n": 1}, {"n": 2}, handlers="def work(r): return r | {'m': r['n'] * 10}"
    )

    assert run.records == [{"n": 1, "m": 10}, {"n": 2, "m": 20}]
    assert (run.dropped, run.retried, run.dead, run.halted) == ([], [], [], None)


def test_a_handler_that_changes_its_record_changes_a_copy(try_stage: Any) -> None:
    given = {"lines": [1]}
    work = "def work(r):\n    r['lines'].append(2)\n    if r.get('bad'): raise ValueError\n    return r"

    run = try_stage("call: handlers:work", given, given | {"bad": True}, handlers=work, attempt=3)

    assert run.records == [{"lines": [1, 2]}]
    assert given == {"lines": [1]}
    assert [letter.record for letter in run.dead] == [{"lines": [1], "bad": True}]


def test_records_go_to_ports_with_their_headers(try_stage: Any) -> None:
    work = """
        from rsq_pipe import Emit
        def work(r): return Emit(r, to="large", headers={"size": "L"}) if r["n"] > 1 else r
    """

    run = try_stage("call: handlers:work\nports: [large]", {"n": 1}, {"n": 2}, handlers=work)

    assert run.records == [{"n": 1}]
    assert run.port("large") == [{"n": 2}]
    assert run.headers == {"": [{"rsq-rid": "test:1"}], "large": [{"rsq-rid": "test:2", "size": "L"}]}


def test_a_route_has_ports_and_no_one_output(project: Project) -> None:
    out = "out: {from: [work.odd, work.even], sink: {type: stdout}}"
    project.spec(READ + "work: {route: [{to: odd, when: n % 2}, {to: even, otherwise: true}]}\n" + out)

    run = run_stage(project.path, "work", numbers(3))

    assert run.ports == {"odd": [{"n": 1}], "even": [{"n": 0}, {"n": 2}]}
    with pytest.raises(LookupError, match=r"no one output; it has \.port\('odd'\), \.port\('even'\)"):
        _ = run.records
    with pytest.raises(LookupError, match="no port 'ode'"):
        run.port("ode")


def test_what_a_filter_drops_is_told(try_stage: Any) -> None:
    run = try_stage("filter: n > 0", *numbers(2))

    assert (run.records, run.dropped) == ([{"n": 1}], [{"n": 0}])


def test_records_come_out_as_json_carries_them(try_stage: Any) -> None:
    run = try_stage("call: handlers:work", {}, handlers="def work(r): return {'pair': (1, 2)}")

    assert run.records == [{"pair": [1, 2]}]


def test_what_cannot_be_encoded_is_a_dead_letter(try_stage: Any) -> None:
    run = try_stage("call: handlers:work", {"n": 1}, handlers="def work(r): return {'x': object()}")

    ((record, reason, error),) = run.dead
    assert (record, reason) == ({"n": 1}, "not_encodable")
    assert "cannot be written as JSON" in error


def test_a_msgpack_pipeline_keeps_what_msgpack_can_hold(try_stage: Any) -> None:
    run = try_stage(
        "call: handlers:work", {"b": b"\xff"}, handlers="def work(r): return r", top="serializer: msgpack"
    )

    assert run.records == [{"b": b"\xff"}]


def test_a_failure_is_retried_after_the_backoff_without_its_jitter(try_stage: Any) -> None:
    settings = "call: handlers:work\nretry: {attempts: 4, backoff: {first: 10s, max: 60s, jitter: 0.5}}"
    work = "def work(r): raise ValueError('no')"

    first, second = (try_stage(settings, {"n": 1}, handlers=work, attempt=attempt) for attempt in (1, 2))

    assert first.retried == [({"n": 1}, "ValueError: no", 10.0)]
    assert second.retried == [({"n": 1}, "ValueError: no", 20.0)]


def test_a_wish_for_a_retry_is_told_with_its_reason(try_stage: Any) -> None:
    work = "from rsq_pipe import Retry\ndef work(r): return Retry(after='1h', reason='closed')"

    ((_, error, delay),) = try_stage("call: handlers:work", {}, handlers=work).retried

    assert "closed" in error
    assert delay == 3600.0


def test_the_last_attempt_makes_a_dead_letter(try_stage: Any) -> None:
    work = "def work(r, ctx): raise ValueError(f'attempt {ctx.attempt}')"

    run = try_stage("call: handlers:work", {"n": 1}, handlers=work, attempt=3)

    assert run.dead == [({"n": 1}, "handler_error", "ValueError: attempt 3")]
    assert run.retried == []


def test_a_rejected_record_is_a_dead_letter_at_once(try_stage: Any) -> None:
    work = "from rsq_pipe import Reject\ndef work(r): return Reject('too old')"

    assert try_stage("call: handlers:work", {"n": 1}, handlers=work).dead == [
        ({"n": 1}, "rejected", "too old")
    ]


def test_a_call_past_its_timeout_fails_as_in_a_run(try_stage: Any) -> None:
    work = "import threading\ndef work(r): threading.Event().wait(5)"

    ((_, error, _),) = try_stage("call: handlers:work\ntimeout: 20ms", {}, handlers=work).retried

    assert error.startswith("HandlerTimeoutError: ")


def test_a_batch_handler_gets_batches_of_the_stages_size(try_stage: Any) -> None:
    work = """
        from rsq_pipe import batch_handler
        @batch_handler
        def work(records): return [r | {"of": len(records)} for r in records]
    """

    run = try_stage("call: handlers:work\nbatch: {size: 2}", *numbers(3), handlers=work)

    assert [record["of"] for record in run.records] == [2, 2, 1]


def test_an_async_handler_sees_values_headers_and_record_ids(try_stage: Any) -> None:
    work = "async def work(r, ctx): return {'v': ctx.values.rate, 'h': ctx.headers['colour'], 'rid': ctx.rid}"

    run = try_stage("call: handlers:work\nwith: {rate: 2}", {}, {}, handlers=work, headers={"colour": "red"})

    assert run.records == [{"v": 2, "h": "red", "rid": f"test:{n}"} for n in (1, 2)]


def test_resources_are_opened_once_and_closed(try_stage: Any) -> None:
    work = """
        from contextlib import contextmanager
        log = []
        @contextmanager
        def opened():
            log.append("open")
            yield log
            log.append("close")
        def work(r, ctx):
            ctx.resource(opened).append(r["n"])
    """

    try_stage("call: handlers:work\nbatch: {size: 1}", *numbers(2), handlers=work)

    assert sys.modules["handlers"].log == ["open", 0, 1, "close"]


def test_a_stage_that_stops_says_why_and_handles_no_further_batch(try_stage: Any) -> None:
    work = "def work(r):\n    if r['n'] == 1: raise ValueError('no')\n    return r"

    run = try_stage(
        "call: handlers:work\non_error: stop\nretry: {attempts: 1}\nbatch: {size: 2}",
        *numbers(4),
        handlers=work,
    )

    assert run.records == [{"n": 0}]
    assert "stopped at record 'test:2'" in str(run.halted)
    assert run.dead == []


def test_a_stage_that_leaves_too_many_calls_behind_halts(try_stage: Any) -> None:
    work = "import threading\ndef work(r): threading.Event().wait(5)"

    run = try_stage("call: handlers:work\ntimeout: 1ms", *numbers(20), handlers=work)

    assert "16 handler calls ran past 1ms and are still running" in str(run.halted)
    assert run.retried == []


def test_what_on_error_drops_is_dropped(try_stage: Any) -> None:
    settings = "call: handlers:work\non_error: drop\nretry: {attempts: 1}"

    run = try_stage(settings, {"n": 1}, handlers="def work(r): raise ValueError")

    assert (run.dropped, run.dead) == ([{"n": 1}], [])


# Mistakes


def test_an_unknown_stage_is_named_with_the_one_that_was_meant(project: Project) -> None:
    project.spec(READ + "price: {map: {total: n}}" + OUT)

    with pytest.raises(ValueError, match=r"pipeline 'orders' has no stage 'prise'; did you mean 'price'\?"):
        run_stage(project.path, "prise", [])


@pytest.mark.parametrize(("name", "verb"), [("read", "source"), ("out", "sink")])
def test_a_source_or_a_sink_is_for_run_pipeline(project: Project, name: str, verb: str) -> None:
    project.spec(READ + OUT)

    with pytest.raises(ValueError, match=rf"stage '{name}' is a {verb}.*use run_pipeline"):
        run_stage(project.path, name, [])


def test_all_mistakes_of_the_file_are_raised_at_once(project: Project) -> None:
    project.spec("work: {call: handlers:none}\nout: {sinc: 1}")

    with pytest.raises(SpecValidationError) as caught:
        run_stage(project.path, "work", [])

    assert len(caught.value.problems) >= 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecSyntaxError, match="there is no such file"):
        run_stage(str(tmp_path / "none.yaml"), "work", [])


def test_a_given_record_that_no_stream_can_hold_is_named(try_stage: Any) -> None:
    with pytest.raises(EncodeError, match=r"record 2 given to stage 'work': .*JSON"):
        try_stage("filter: n", {"n": 1}, {"n": object()})


def test_there_is_no_attempt_zero(try_stage: Any) -> None:
    with pytest.raises(ValueError, match="the first one is 1"):
        try_stage("filter: n", attempt=0)


async def test_under_a_running_event_loop_a_thread_is_the_way(try_stage: Any) -> None:
    with pytest.raises(RuntimeError, match=r"await asyncio.to_thread\(run_stage, \.\.\.\)"):
        try_stage("filter: n", {"n": 1})

    assert (await asyncio.to_thread(try_stage, "filter: n", {"n": 1})).records == [{"n": 1}]


def test_running_a_stage_loads_neither_redis_nor_opentelemetry(project: Project) -> None:
    project.handlers("def work(r):\n    raise ValueError")
    path = project.spec(READ + "work: {call: handlers:work}" + OUT)
    script = f"""
import sys
from rsq_pipe.testing import run_pipeline, run_stage
assert run_stage({str(path)!r}, "work", [{{"n": 1}}], attempt=3).dead
print(*{{name.split('.')[0] for name in sys.modules}})
"""

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert not {"redis", "opentelemetry"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("windows", "times"),
    [("every: 10s", [("00", "10", 2), ("10", "20", 1)]), ("gap: 5s", [("00", "09", 2), ("15", "20", 1)])],
)
def test_what_an_aggregate_has_in_windows_leaves_it_at_the_end(
    try_stage: Any, windows: str, times: list[tuple[str, str, int]]
) -> None:
    settings = (
        f"aggregate: {{{windows}, on: n, having: many < 9, compute: {{many: count()}}}}\nbatch: {{size: 1}}"
    )

    run = try_stage(settings, {"n": 0}, {"n": 15}, {"n": 4})

    found = [(one["window_start"][17:19], one["window_end"][17:19], one["many"]) for one in run.records]
    assert (found, run.dropped, run.dead) == (times, [], [])
