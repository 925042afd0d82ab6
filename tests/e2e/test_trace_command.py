"""`rsq-pipe trace`: the way of one record, from a trace file and from Redis alone."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import redis

from tests.e2e.traced_project import TRACE_ALL, lasting, run
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

STAGES = """
    read:
      source: {type: jsonl, path: in.jsonl}
    work:
      call: handlers:work
    write:
      sink: {type: jsonl, path: out.jsonl}
"""
HANDLERS = """
    from rsq_pipe import Drop

    def work(record, ctx):
        if record["n"] == 1:
            raise ValueError("unlucky \\x1b[31m number")
        if record["n"] == 2 and ctx.attempt == 1:
            raise ConnectionError("come again")
        if record["n"] == 4:
            return Drop("too old")
        return [{"n": 30}, {"n": 31}] if record["n"] == 3 else record
"""
COLUMNS = ("stage", "attempt", "outcome")


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES, top="keep: 1h")
    project.handlers(HANDLERS)
    project.records(range(5))
    return project


@pytest.fixture
def traced(project: Project, server: StreamServer) -> Project:
    arguments = (str(project.path), "--redis", server.url, "--trace-file", "traces.jsonl")
    done = run(project.root, "run", *arguments, environ=TRACE_ALL)
    assert done.returncode == 4, done.stderr
    return project


def from_file(project: Project, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run(project.root, "trace", name, "--file", "traces.jsonl", *options)


def from_redis(
    project: Project, server: StreamServer, name: str, *options: str
) -> subprocess.CompletedProcess[str]:
    return run(project.root, "trace", name, str(project.path), "--redis", server.url, *options)


def steps(done: subprocess.CompletedProcess[str]) -> list[tuple[Any, ...]]:
    assert done.returncode == 0, done.stderr
    return [tuple(step[column] for column in COLUMNS) for step in json.loads(done.stdout)["steps"]]


def awaited(project: Project, server: StreamServer, outcome: str) -> list[tuple[Any, ...]]:
    """The steps of the record that is retried once, as soon as one has this outcome."""

    def told() -> list[tuple[Any, ...]]:
        done = from_redis(project, server, "read:in.jsonl:3", "--json")
        found = steps(done) if done.returncode == 0 else []
        return found if any(step[2] == outcome for step in found) else []

    return eventually(told, what=f"a step {outcome!r}")


def test_a_file_tells_every_stage_a_record_passed(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:1", "--json")

    assert steps(done) == [("read", 1, "emitted"), ("work", 1, "emitted"), ("write", 1, "emitted")]
    document = json.loads(done.stdout)
    assert len(document["trace_ids"]) == 1
    assert all(step["ran"] > 0 for step in document["steps"])


def test_a_file_tells_every_attempt_and_why_it_failed(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:2", "--json")

    assert steps(done) == [
        ("read", 1, "emitted"),
        ("work", 1, "retried"),
        ("work", 2, "retried"),
        ("work", 3, "dead-lettered"),
    ]
    assert json.loads(done.stdout)["steps"][-1]["error"] == "ValueError: unlucky \x1b[31m number"


def test_a_file_tells_why_a_record_was_dropped(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:5", "--json")

    assert steps(done)[-1] == ("work", 1, "dropped")
    assert json.loads(done.stdout)["steps"][-1]["note"] == "too old"


def test_the_waterfall_draws_a_line_a_step_and_harms_no_terminal(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:2")

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "read:in.jsonl:2"
    assert [line.split()[0] for line in lines if "█" in line] == ["read", "work", "work", "work"]
    assert "unlucky \\x1b[31m number" in done.stdout
    assert "\x1b" not in done.stdout


def test_without_a_terminal_no_line_is_broken(project: Project, server: StreamServer) -> None:
    said = " ".join(["it", "ends", "here"] * 6) + " now"
    project.handlers(f"def work(record): raise ValueError({said!r})")
    assert run(project.root, "run", str(project.path), "--redis", server.url).returncode == 4

    done = from_redis(project, server, "read:in.jsonl:1")

    assert f"ValueError: {said}" in done.stdout


def test_children_of_a_split_record_stand_in_its_way(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:4", "--json")

    assert steps(done) == [("read", 1, "emitted"), ("work", 1, "emitted")] + [("write", 1, "emitted")] * 2
    child = from_file(traced, "read:in.jsonl:4.1", "--json")
    assert [step["rid"] for step in json.loads(child.stdout)["steps"]] == [
        "read:in.jsonl:4",
        "read:in.jsonl:4",
        "read:in.jsonl:4.1",
    ]


def test_a_trace_id_and_an_entry_id_name_the_record_too(traced: Project) -> None:
    whole = json.loads(from_file(traced, "read:in.jsonl:1", "--json").stdout)

    by_trace = from_file(traced, whole["trace_ids"][0], "--json")

    assert json.loads(by_trace.stdout)["steps"] == whole["steps"]


def test_redis_alone_tells_where_a_record_went(traced: Project, server: StreamServer) -> None:
    assert steps(from_redis(traced, server, "read:in.jsonl:1", "--json")) == [
        ("read", 0, "emitted"),
        ("work", 0, "emitted"),
    ]
    died = from_redis(traced, server, "read:in.jsonl:2", "--json")
    assert steps(died) == [("read", 0, "emitted"), ("work", 3, "dead-lettered")]
    assert "unlucky" in json.loads(died.stdout)["steps"][-1]["error"]
    trace_id = json.loads(died.stdout)["trace_ids"][0]
    assert steps(from_redis(traced, server, trace_id, "--json")) == steps(died)


def test_the_name_of_a_dead_letter_as_dlq_list_prints_it_names_the_record(
    traced: Project, server: StreamServer
) -> None:
    listed = run(traced.root, "dlq", "list", str(traced.path), "--redis", server.url, "--json")
    example = json.loads(listed.stdout.splitlines()[0])["example"]

    found = from_redis(traced, server, example, "--json")

    assert steps(found) == steps(from_redis(traced, server, "read:in.jsonl:2", "--json"))
    assert from_redis(traced, server, "work/1-0").returncode == 1


def test_redis_alone_tells_of_a_record_that_waits_for_its_next_attempt(
    project: Project, server: StreamServer
) -> None:
    patient = "defaults: {batch: {wait: 2ms}, retry: {attempts: 3, backoff: {first: 1h, max: 1h}}}"
    project.spec(STAGES, defaults=patient, top="keep: 1h")
    with lasting(project.root, str(project.path), "--redis", server.url):
        told = awaited(project, server, "to be retried")

    assert ("work", 2, "to be retried") in told


def test_redis_alone_tells_of_a_record_nobody_has_been_given_yet(
    project: Project, server: StreamServer
) -> None:
    with lasting(project.root, str(project.path), "--redis", server.url, "--stage", "read"):
        told = awaited(project, server, "waiting")

    assert told == [("read", 0, "emitted"), ("work", 1, "waiting")]


def test_the_pipeline_stands_first_as_elsewhere_and_may_stand_last(
    traced: Project, server: StreamServer
) -> None:
    rid = "read:in.jsonl:2"

    swapped = run(traced.root, "trace", str(traced.path), rid, "--redis", server.url, "--json")

    assert steps(swapped) == steps(from_redis(traced, server, rid, "--json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("read:in.jsonl:2", "no.yaml"), "neither 'read:in.jsonl:2' nor 'no.yaml' is a file"),
        (("no.yaml", "read:in.jsonl:2"), "neither 'no.yaml' nor 'read:in.jsonl:2' is a file"),
        (("pipeline.yaml",), "'pipeline.yaml' is the file of a pipeline, and no ID"),
        (("nosuch.yaml",), "there is no file 'nosuch.yaml', and the ID is missing"),
        (("read:in.jsonl:2",), "'read:in.jsonl:2' is an ID, and no file"),
        (("x", "pipeline.yaml", "--file", "in.jsonl"), "leave 'pipeline.yaml' out, or --file"),
        (("pipeline.yaml", "x", "--file", "in.jsonl"), "leave 'pipeline.yaml' out, or --file"),
        ((), "the ID is missing; it is `rsq-pipe trace SPEC ID`"),
        (("x", "--file", "no.jsonl"), "'no.jsonl' does not exist"),
    ],
)
def test_a_mistake_says_which_word_is_which(project: Project, words: tuple[str, ...], said: str) -> None:
    done = run(project.root, "trace", *words)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.replace("│", " ").split())


def test_a_journal_tells_the_whole_way_of_records_that_all_stages_are_done_with(
    project: Project, server: StreamServer
) -> None:
    project.spec(
        STAGES.replace("    write:", '    low:\n      filter: "n < 40"\n    write:'),
        top="telemetry: {journal: 1k, sample: none}",
    )
    run(project.root, "run", str(project.path), "--redis", server.url)

    def told(rid: str) -> list[tuple[Any, ...]]:
        return steps(from_redis(project, server, rid, "--json"))

    assert told("read:in.jsonl:1") == [("work", 1, "emitted"), ("low", 1, "emitted"), ("write", 1, "emitted")]
    assert told("read:in.jsonl:5") == [("work", 1, "dropped")]
    assert told("read:in.jsonl:2") == [
        ("work", 1, "retried"),
        ("work", 2, "retried"),
        ("work", 3, "dead-lettered"),
    ]
    assert f"rsq-pipe dlq show {project.path} work/" in from_redis(project, server, "read:in.jsonl:2").stdout
    nowhere = from_redis(project, server, "read:in.jsonl:99")
    assert "not among the last 1,000 records that each stage remembers" in nowhere.stderr
    assert "journal:" not in nowhere.stderr


def test_a_dead_letter_of_a_fused_stage_stands_below_the_stages_above_it(
    project: Project, server: StreamServer
) -> None:
    project.spec(
        STAGES.replace("    work:\n", '    first:\n      map: {a: "n + 1"}\n    work:\n'),
        top="telemetry: {journal: 1k, sample: none}",
        defaults="defaults: {retry: {attempts: 1}}",
    )
    run(project.root, "run", str(project.path), "--redis", server.url)
    _failed_earlier(server, f"{{{project.pipeline}}}:work:dlq")

    done = from_redis(project, server, "read:in.jsonl:2", "--json")

    assert steps(done) == [("first", 1, "emitted"), ("work", 1, "dead-lettered")]


def _failed_earlier(server: StreamServer, dlq: str) -> None:
    """Rewrite the dead letters as if their process had been held up before it settled."""
    with redis.Redis.from_url(server.url) as client:
        letters: Any = client.xrange(dlq)
        client.delete(dlq)
        for entry_id, fields in letters:
            fields[b"rsq-dlq-at"] = b"%.3f" % (float(fields[b"rsq-dlq-at"]) - 1)
            client.xadd(dlq, fields, id=entry_id)


def test_what_is_nowhere_is_said_with_exit_code_1(traced: Project, server: StreamServer) -> None:
    for done in (from_file(traced, "read:in.jsonl:99"), from_redis(traced, server, "read:in.jsonl:99")):
        assert done.returncode == 1
        assert "nothing of 'read:in.jsonl:99'" in done.stderr
    assert "journal: 100k" in done.stderr


def test_a_key_of_the_users_own_is_answered_with_how_an_id_looks(
    traced: Project, server: StreamServer
) -> None:
    done = from_redis(traced, server, "10248")

    assert (
        "'10248' has not the form of an id, such as read:orders.jsonl:17 (source, file, line)" in done.stderr
    )
    assert "has not the form" not in from_redis(traced, server, "read:in.jsonl:99").stderr


def test_a_stage_that_is_gone_from_the_file_and_holds_records_is_named_as_not_searched(
    traced: Project, server: StreamServer
) -> None:
    traced.spec(STAGES.replace("work:", "job:"), top="keep: 1h")

    done = run(traced.root, "trace", str(traced.path), "read:in.jsonl:99", "--redis", server.url)

    assert done.returncode == 1
    assert "Not searched: 'work', which an earlier version of the file had" in done.stderr


def test_a_record_that_was_not_sampled_is_told_from_one_that_was(traced: Project) -> None:
    done = from_file(traced, "read:in.jsonl:99")

    assert "such as 'read:in.jsonl:1', and all that failed" in done.stderr
    assert "OTEL_TRACES_SAMPLER=always_on" in done.stderr


def test_a_file_that_is_something_else_is_named_with_its_line(traced: Project) -> None:
    done = run(traced.root, "trace", "x", "--file", "in.jsonl")

    assert done.returncode == 1
    assert "in.jsonl:1: this is not OTLP JSON" in done.stderr
    assert "Traceback" not in done.stderr
