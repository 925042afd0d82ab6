"""What `run` says before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.running.before_run import report_endless_run, warn_of_fields, warn_of_unread
from rsq_pipe.spec.loader import load

ROUTE = """
version: 1
pipeline: shop
stages:
  read: {source: {type: stream, stream: in}}
  route: {route: [{to: large, when: n > 1}, {to: small, otherwise: true}]}
  large: {from: route.large, sink: {type: stdout}}
"""


@pytest.mark.parametrize(
    ("more", "unread"),
    [("", ["route.small"]), ("  small: {from: route.small, sink: {type: stdout}}\n", [])],
)
def test_an_output_that_nobody_reads_is_told_of(tmp_path: Path, more: str, unread: list[str]) -> None:
    spec = tmp_path / "pipeline.yaml"
    spec.write_text(ROUTE + more)

    with capture_logs() as logs:
        warn_of_unread(load(spec))

    assert [line["output"] for line in logs] == unread


def test_a_field_that_a_query_does_not_find_and_text_taken_for_a_number_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "sold.csv").write_text("id,qty\n1,2\n")
    (tmp_path / "parted.csv").write_text("id;qty\n1;2\n")
    spec = tmp_path / "pipeline.yaml"
    spec.write_text("""
version: 1
pipeline: shop
stages:
  read: {source: {type: csv, path: sold.csv}}
  some: {filter: qty == 2}
  ask: {sql: select ident from batch}
  end: {sink: {type: stdout}}
  other: {source: {type: csv, path: parted.csv}}
  last: {sink: {type: stdout}}
""")

    with capture_logs() as logs:
        warn_of_fields(load(spec, check_fields=True))

    assert [line["at"].removeprefix(f"{spec}:") for line in logs] == [
        "6:18: stages.some.filter",
        "7:21: stages.ask.sql",
    ]
    assert logs[0]["fix"] == "give the source `types: {qty: int}`, or write int(qty)"


READ = "source: {type: jsonl, path: in.jsonl}"
WATCH = "source: {type: jsonl, path: in.jsonl, follow: true}"


@pytest.mark.parametrize(
    ("first", "names", "told"),
    [
        (READ, ["work", "out"], [True]),
        (WATCH, ["work", "out"], [False]),
        (READ, ["read", "out"], []),
        (READ, [], []),
        ("from: {stream: other}, filter: n > 0", [], [False]),
    ],
)
def test_a_run_without_a_source_is_said_not_to_end_and_which_run_does(
    tmp_path: Path, first: str, names: list[str], told: list[bool]
) -> None:
    spec = tmp_path / "pipeline.yaml"
    spec.write_text(f"""
version: 1
pipeline: shop
stages:
  read: {{{first}}}
  work: {{filter: n > 1}}
  out: {{sink: {{type: stdout}}}}
""")

    with capture_logs() as logs:
        report_endless_run(load(spec), names)

    assert {line["event"] for line in logs} <= {"reads no source, so it runs until it is told to stop"}
    assert [line.get("ends_by_itself") == f"rsq-pipe run {spec} --stage read" for line in logs] == told
