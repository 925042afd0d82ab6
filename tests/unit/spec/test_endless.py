"""A stage that waits for the end of a source that never ends is told of before it waits."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.running.before_run import warn
from rsq_pipe.spec.loader import check, load

FOLLOWED = "jsonl, path: in.jsonl, follow: true"
WEBHOOK = 'webhook, listen: "127.0.0.1:8080"'
DAILY = "aggregate: {by: [a], every: 1d, on: at, compute: {n: count()}}"
LATE = DAILY.replace("on: at", "on: at, late: 0s")
WHOLE = "aggregate: {by: [a], compute: {n: count()}}"
JOIN = "join: {left: read, right: other, on: id}"


def spec(tmp_path: Path, source: str, stage: str) -> Path:
    file = tmp_path / "pipeline.yaml"
    (tmp_path / "in.jsonl").touch()
    file.write_text(f"""
version: 1
pipeline: shop
stages:
  other: {{source: {{type: jsonl, path: in.jsonl}}}}
  read: {{source: {{type: {source}}}}}
  work: {{{stage if "join" in stage else f"from: [read, other], {stage}"}}}
  out: {{sink: {{type: stdout}}}}
""")
    return file


@pytest.mark.parametrize(
    ("source", "stage", "what"),
    [
        (FOLLOWED, DAILY, "its windows close when all input has ended"),
        (WEBHOOK, DAILY, "its windows close when all input has ended"),
        ("generate, fields: {a: 1, at: 1}", WHOLE, "its results are made when all input has ended"),
        (FOLLOWED, JOIN, "what finds no partner leaves only when all input has ended"),
        ("exec, command: [cat], restart: always", DAILY, "its windows close when all input has ended"),
    ],
)
def test_validate_and_run_warn_of_what_never_comes(
    tmp_path: Path, source: str, stage: str, what: str
) -> None:
    file = spec(tmp_path, source, stage)

    (problem,) = check(file).problems
    with capture_logs() as logs:
        warn(load(file))

    assert (problem.severity, problem.line) == ("warning", 7)
    assert problem.what.startswith(f"{what}, and the source 'read' never ends (")
    assert [(line["event"], line["fix"]) for line in logs] == [(problem.what, problem.fix)]


@pytest.mark.parametrize(
    ("stage", "what"),
    [(WHOLE, "its results are made"), (JOIN, "what finds no partner leaves only")],
)
def test_a_stream_that_others_write_never_ends(tmp_path: Path, stage: str, what: str) -> None:
    (problem,) = check(spec(tmp_path, "stream, stream: clicks", stage)).problems

    assert (problem.severity, problem.line) == ("warning", 7)
    assert (
        problem.what
        == f"{what} when all input has ended, and the stream 'clicks' never ends: others write it"
    )


@pytest.mark.parametrize(
    ("source", "stage"),
    [
        ("jsonl, path: in.jsonl", DAILY),
        (FOLLOWED, LATE),
        (FOLLOWED, WHOLE.replace("compute", "emit: 10s, compute")),
        (FOLLOWED, JOIN.replace("id}", "id, within: 1h}")),
        ("stream, stream: in", DAILY),
        ("generate, count: 5, fields: {a: 1, at: 1}", DAILY),
    ],
)
def test_what_comes_is_not_warned_of(tmp_path: Path, source: str, stage: str) -> None:
    assert not check(spec(tmp_path, source, stage)).problems
