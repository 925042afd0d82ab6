"""What `rsq-pipe run` says: numbers at the end, a line now and then, and what went wrong."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.running import progress
from rsq_pipe.engine.runner import Runner
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    odd: {filter: n % 2 == 1}
    check: {call: "handlers:check"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(100))
    project.handlers("""
        def check(record, ctx):
            if record["n"] == 7 and ctx.attempt == 1:
                raise RuntimeError("not yet")
            if record["n"] == 9:
                raise ValueError("never")
            return record
    """)
    project.spec(STAGES)
    return project


def table(text: str) -> dict[str, list[int]]:
    """Read the summary: stage -> in, out, dropped, retried, dead."""
    rows = re.findall(r"^(\w+)(?: \(fused\))? +((?:[\d,]+ +){5})[\d,]+(?: +[\d,]+)? *$", text, re.MULTILINE)
    return {name: [int(number.replace(",", "")) for number in numbers.split()] for name, numbers in rows}


def test_the_summary_counts_every_stage_and_dead_letters_end_with_code_4(
    project: Project, server: StreamServer
) -> None:
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 4
    assert table(done.stderr) == {
        "read": [100, 100, 0, 0, 0],
        "odd": [100, 50, 50, 0, 0],
        "check": [50, 49, 0, 3, 1],
        "out": [49, 49, 0, 0, 0],
    }
    assert "1 dead letter in all, 1 of this run" in done.stderr
    assert done.stdout == ""


def test_drops_are_counted_by_reason_in_the_summary_and_in_status(
    project: Project, server: StreamServer
) -> None:
    project.handlers("""
        from rsq_pipe import Drop

        def check(record):
            return Drop("too old") if record["n"] < 20 else None if record["n"] == 21 else record
    """)
    words = (project.path, "--redis", server.url)

    done = rsq_pipe("run", *words, cwd=project.root)

    lines = ["odd dropped: 50 filter", "check dropped: 10 too old, 1 returned None"]
    assert [line for line in done.stderr.splitlines() if "dropped: " in line] == lines
    shown = rsq_pipe("status", *words, cwd=project.root).stdout
    assert [line for line in shown.splitlines() if "dropped: " in line] == lines
    document = json.loads(rsq_pipe("status", *words, "--json", cwd=project.root).stdout)
    drops = {stage["name"]: stage["drops"] for stage in document["stages"]}
    assert drops == {
        "read": {},
        "odd": {"filter": 50},
        "check": {"too old": 10, "returned None": 1},
        "out": {},
    }


def test_the_summary_names_a_handler_that_returns_nothing_for_any_record(
    project: Project, server: StreamServer
) -> None:
    project.handlers("""
        def check(record):
            record["seen"] = True
    """)

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert (
        "check: its handler returned None for every record, which drops it; return the record to pass it on"
    ) in done.stderr.splitlines()


def test_the_summary_is_json_on_request_behind_the_records_of_a_stdout_sink(
    project: Project, server: StreamServer
) -> None:
    project.spec(STAGES.replace("jsonl, path: out/all.jsonl", "stdout"))

    done = rsq_pipe("run", project.path, "--redis", server.url, "--json", cwd=project.root)

    *records, last = map(json.loads, done.stdout.splitlines())
    summary = {stage.pop("name"): stage for stage in last.pop("stages")}
    assert len(records) == 49
    assert last.pop("seconds") > 0
    assert last == {
        "pipeline": project.pipeline,
        "finished": True,
        "dead": 1,
        "dead_letters": 1,
        "waiting": 0,
        "other_processes": 0,
    }
    assert summary["odd"] == {
        "in": 100,
        "records": 100,
        "out": 50,
        "dropped": 50,
        "retried": 0,
        "dead": 0,
        "drops": {"filter": 50},
        "stored": 0,
        "unknown": {},
        "fused": "read",
        "waiting": 0,
        "paused": None,
    }
    assert "records/s" not in done.stderr


def test_with_json_logs_the_end_is_a_log_line_and_no_table(project: Project, server: StreamServer) -> None:
    words = ("run", project.path, "--redis", server.url, "--log-format", "json")

    done = rsq_pipe(*words, cwd=project.root)

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["event"] == "done"
    assert (lines[-1]["pipeline"], lines[-1]["dead"]) == (project.pipeline, 1)
    assert lines[-1]["stages"][1]["drops"] == {"filter": 50}


def test_a_first_run_of_empty_files_does_not_say_they_were_read_before(
    project: Project, server: StreamServer
) -> None:
    (project.root / "in.jsonl").write_text("")

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.stderr == f"{project.pipeline}: its sources hold no records.\n"


def test_a_call_with_effects_only_says_so_and_is_not_warned_of(
    project: Project, server: StreamServer
) -> None:
    project.spec("""
        read: {source: {type: jsonl, path: in.jsonl}}
        check: {call: "handlers:check", to: none}
    """)

    checked = rsq_pipe("validate", project.path, cwd=project.root)
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert checked.stdout == f"{project.path}: ok, 2 stages, 0 warnings\n"
    assert table(done.stderr)["check"] == [100, 99, 0, 3, 1]


def test_status_counts_records_and_not_attempts(project: Project, server: StreamServer) -> None:
    words = (project.path, "--redis", server.url)
    rsq_pipe("run", *words, cwd=project.root)

    shown = rsq_pipe("status", *words, cwd=project.root).stdout

    records = {line.split()[0]: line.split()[-1] for line in shown.splitlines()[2:6]}
    assert records == {"read": "100", "odd": "100", "check": "50", "out": "49"}


def test_old_dead_letters_are_told_and_end_no_later_run_with_code_4(
    project: Project, server: StreamServer
) -> None:
    words = ("run", project.path, "--redis", server.url)
    rsq_pipe(*words, cwd=project.root)

    again = rsq_pipe(*words, cwd=project.root)

    assert again.returncode == 0
    assert "nothing new" in again.stderr
    assert "1 dead letter in all, 0 of this run" in again.stderr


def test_a_server_that_is_not_there_is_named_without_its_password(project: Project) -> None:
    url = "redis://jo:hunter2@127.0.0.1:1/0"

    done = rsq_pipe("run", project.path, "--redis", url, cwd=project.root)

    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_record_that_stops_the_run_is_named_with_code_1(project: Project, server: StreamServer) -> None:
    project.spec(STAGES.replace('"handlers:check"', '"handlers:check", on_error: stop'))

    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 1
    *_, stopped, place = done.stderr.splitlines()
    assert "stage 'check' stopped at record 'read:in.jsonl:10'" in stopped
    assert place.endswith("pipeline.yaml:13:11: stages.check.call")
    assert table(done.stderr)["read"] == [100, 100, 0, 0, 0]
    assert re.search(r"stopped after [\d.]+s; [\d,]+ records? still waits?: rsq-pipe run", done.stderr)
    assert "ValueError: never" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=" ".join)
def test_a_run_that_a_sink_ends_says_in_json_too_what_it_did(
    project: Project, server: StreamServer, options: tuple[str, ...]
) -> None:
    (project.root / "out").mkdir()
    (project.root / "out" / "all.jsonl").write_text("somebody's\n")

    done = rsq_pipe("run", project.path, "--redis", server.url, "--json", *options, cwd=project.root)

    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert "it exists and was not written by this pipeline" in done.stderr
    assert said["finished"] is False
    assert 0 < said["stages"][0]["out"] <= 100  # the sink may end the run while the source is still reading
    assert said["waiting"] == sum(stage["waiting"] for stage in said["stages"]) > 0


async def test_without_a_terminal_a_line_an_interval_says_how_far_it_is(
    project: Project, server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    async with StreamClient.from_url(server.url) as client:
        runner = Runner(load(project.path), client)
        with capture_logs() as lines:
            showing = asyncio.ensure_future(progress.show(runner, lively=False))
            await runner.run()
            await asyncio.wait([showing], timeout=0.2)
            showing.cancel()

    running = [line for line in lines if line["event"] == "running"]
    assert running[-1]["read"] == "100 in, all read"
    assert {"pipeline", "seconds", "waiting", "dead"} <= running[-1].keys()


async def test_a_stage_that_is_called_as_a_field_of_that_line_is_in_it_too(
    project: Project, server: StreamServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    project.spec("""
        event: {source: {type: jsonl, path: in.jsonl}}
        dead: {sink: {type: jsonl, path: out/all.jsonl}}
    """)
    async with StreamClient.from_url(server.url) as client:
        runner = Runner(load(project.path), client)
        with capture_logs() as lines:
            showing = asyncio.ensure_future(progress.show(runner, lively=False))
            await runner.run()
            await asyncio.wait([showing], timeout=0.2)
            showing.cancel()

    running = [line for line in lines if line["event"] == "running"]
    assert running[-1]["dead"] == 0
    assert running[-1]["stage event"] == "100 in, all read"
    assert running[-1]["stage dead"] == "100 in"
