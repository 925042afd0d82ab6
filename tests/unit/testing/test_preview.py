"""walk: what a preview shows of each stage is what a run would do, without a server."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from rsq_pipe.spec.loader import load
from rsq_pipe.testing.preview.passage import Passage, StagePreview
from rsq_pipe.testing.preview.walk import walk
from tests.support.project import Project

READ = "read: {source: {type: jsonl, path: in.jsonl}}\n"
OUT = "\nout: {sink: {type: jsonl, path: out/all.jsonl}}"


def preview(
    project: Project, spec: str, *, limit: int = 10, handlers: str = "", **options: Any
) -> dict[str, StagePreview]:
    project.handlers(handlers)
    graph = load(project.spec(dedent(spec)))

    async def collect() -> list[StagePreview]:
        return [found async for found in walk(graph, limit=limit, **options)]

    return {found.stage.name: found for found in asyncio.run(collect())}


def outcomes(found: StagePreview) -> list[tuple[str, str]]:
    return [(passage.outcome, passage.why) for passage in found.passages]


def after(passages: list[Passage]) -> list[dict[str, Any]]:
    return [made.record for passage in passages for made in passage.made]


def test_the_first_records_are_taken_through_every_stage(project: Project) -> None:
    project.records(range(100))

    shown = preview(project, READ + "work: {map: {m: n * 2, n: null}}" + OUT, limit=2)

    assert list(shown) == ["read", "work", "out"]
    assert [passage.before for passage in shown["work"].passages] == [{"n": 0}, {"n": 1}]
    assert after(shown["work"].passages) == [{"m": 0}, {"m": 2}]
    assert [passage.rid for passage in shown["out"].passages] == ["read:in.jsonl:1", "read:in.jsonl:2"]
    assert outcomes(shown["out"]) == [("written", "")] * 2


def test_nothing_is_left_behind(project: Project) -> None:
    project.records(range(3))

    preview(project, READ + "work: {map: {m: n * 2}}" + OUT)

    assert sorted(path.name for path in project.root.iterdir()) == [
        ".rsq",
        "handlers.py",
        "in.jsonl",
        "pipeline.yaml",
        "pyproject.toml",
    ]
    assert list((project.root / ".rsq").iterdir()) == []


def test_what_is_dropped_and_what_fails_says_why(project: Project) -> None:
    project.records(range(5))
    handlers = """
        from rsq_pipe import Drop, Reject, Retry
        def work(r):
            if r["n"] == 0: raise ValueError("no zero")
            return [None, Drop("odd"), Reject("two"), Retry(reason="busy")][r["n"] - 1]
    """

    shown = preview(project, READ + "work: {call: handlers:work}" + OUT, handlers=handlers)

    assert outcomes(shown["work"]) == [
        ("failed", "fails, 3 attempts in a run: ValueError: no zero"),
        ("dropped", "returned None"),
        ("dropped", "odd"),
        ("failed", "rejected: two"),
        ("failed", "to be tried again, 3 attempts in a run: HandlerError: busy"),
    ]
    assert shown["out"].passages == []


def test_an_expression_that_fails_and_on_error_drop_are_told_apart(project: Project) -> None:
    project.records(range(1))

    shown = preview(project, READ + "work: {map: {m: n / 0}}" + OUT)
    dropped = preview(project, READ + "work: {map: {m: n / 0}, on_error: drop}" + OUT)

    assert [outcome for outcome, _ in outcomes(shown["work"])] == ["failed"]
    assert "division by zero" in outcomes(shown["work"])[0][1]
    assert [outcome for outcome, _ in outcomes(dropped["work"])] == ["dropped"]
    assert outcomes(dropped["work"])[0][1].startswith("on_error: expression_error: ")


def test_a_line_that_is_no_record_is_shown_as_it_stands(project: Project) -> None:
    (project.root / "in.jsonl").write_text('{"n": 1}\n[2]\n')

    shown = preview(project, READ + OUT)

    good, bad = shown["read"].passages
    assert (good.before, bad.before, bad.outcome, bad.raw) == ({"n": 1}, None, "failed", b"[2]")


def test_dead_letters_go_to_the_stage_that_reads_them(project: Project) -> None:
    project.records(range(2))
    stages = """
        read: {source: {type: jsonl, path: in.jsonl}}
        work: {filter: 1 / n}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
        bad: {from: work.errors, sink: {type: jsonl, path: out/bad.jsonl}}
    """

    shown = preview(project, stages)

    assert [passage.before for passage in shown["bad"].passages] == [{"n": 0}]


def test_children_and_ports_are_shown_with_their_ids(project: Project) -> None:
    project.records(range(2), lines=[{"sku": "a"}, {"sku": "b"}])
    stages = """
        read: {source: {type: jsonl, path: in.jsonl}}
        lines: {explode: {field: lines, as: line, keep: [n]}}
        sort:
          route: [{to: zero, when: n == 0}, {to: other, otherwise: true}]
        zero: {from: sort.zero, sink: {type: jsonl, path: out/zero.jsonl}}
        other: {from: sort.other, sink: {type: jsonl, path: out/other.jsonl}}
    """

    shown = preview(project, stages)

    assert [made.rid for made in shown["lines"].passages[0].made] == [
        "read:in.jsonl:1.0",
        "read:in.jsonl:1.1",
    ]
    assert [made.port for passage in shown["sort"].passages for made in passage.made] == [
        "zero",
        "zero",
        "other",
        "other",
    ]
    assert [passage.before["line"]["sku"] for passage in shown["zero"].passages if passage.before] == [
        "a",
        "b",
    ]


def test_dedupe_remembers_within_the_preview(project: Project) -> None:
    project.records([1, 1, 2])

    shown = preview(project, READ + "once: {dedupe: {key: n, within: 1h}, batch: {size: 1}}" + OUT)

    assert [outcome for outcome, _ in outcomes(shown["once"])] == ["emitted", "dropped", "emitted"]
    assert [passage.before for passage in shown["out"].passages] == [{"n": 1}, {"n": 2}]


def test_groups_are_shown_as_if_all_input_had_ended(project: Project) -> None:
    project.records([1, 2, 2])

    shown = preview(project, READ + "sums: {aggregate: {by: n, compute: {many: count()}}}" + OUT)

    assert [outcome for outcome, _ in outcomes(shown["sums"])] == ["stored"] * 3
    assert [made.record for made in shown["sums"].left] == [{"n": 1, "many": 1}, {"n": 2, "many": 2}]
    assert [passage.before for passage in shown["out"].passages] == [
        {"n": 1, "many": 1},
        {"n": 2, "many": 2},
    ]


def test_a_join_shows_its_pairs_and_what_found_no_other(project: Project) -> None:
    project.records([1, 2], "orders.jsonl", order=True)
    project.records([2, 3], "payments.jsonl", paid=True)
    stages = """
        orders: {source: {type: jsonl, path: orders.jsonl}}
        payments: {source: {type: jsonl, path: payments.jsonl}}
        both:
          join: {left: orders, right: payments, on: n, within: 1h, kind: left}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """

    shown = preview(project, stages)

    assert len(after(shown["both"].passages)) == 1
    assert len(shown["both"].left) == 1
    assert len(shown["out"].passages) == 2


def test_a_lookup_in_a_file_is_done_and_one_in_a_server_is_said_not_to_be(project: Project) -> None:
    project.records([1])
    (project.root / "names.jsonl").write_text('{"n": 1, "name": "ada"}\n')
    stages = """
        read: {source: {type: jsonl, path: in.jsonl, final: true}}
        file: {lookup: {table: names.jsonl, key: n, by: n, fields: [name]}}
        server: {lookup: {table: {redis: "name:{n}"}, key: n, fields: [mail]}}
        out: {sink: {type: jsonl, path: out/all.jsonl}}
    """

    shown = preview(project, stages)

    assert after(shown["file"].passages) == [{"n": 1, "name": "ada"}]
    assert "asks a server" in shown["server"].note
    assert after(shown["server"].passages) == [{"n": 1, "name": "ada", "mail": None}]


def test_a_stream_from_outside_is_said_to_be_on_a_server_until_a_file_is_given(project: Project) -> None:
    stages = "work: {from: {stream: clicks}, map: {m: n}}" + OUT
    project.records([7], "clicks.jsonl")

    without = preview(project, stages)
    given = preview(project, stages, files={"work": project.root / "clicks.jsonl"})

    assert "--input work=FILE" in without["work"].note
    assert after(given["work"].passages) == [{"n": 7, "m": 7}]


def test_records_given_to_a_stage_leave_out_what_is_above_it(project: Project) -> None:
    project.records([1])
    project.records([5], "given.jsonl")
    handlers = "def work(r): raise SystemError('called')"

    shown = preview(
        project,
        READ + "work: {call: handlers:work}\nlast: {map: {m: n}}" + OUT,
        handlers=handlers,
        stages=["last"],
        files={"last": project.root / "given.jsonl"},
    )

    assert list(shown) == ["last"]
    assert after(shown["last"].passages) == [{"n": 5, "m": 5}]


def test_a_csv_file_is_read_by_the_settings_of_the_csv_source_it_stands_for(project: Project) -> None:
    (project.root / "real.csv").write_text("n\n1\n")
    (project.root / "[other].csv").write_text("n\n7\n")
    stages = "read: {source: {type: csv, path: real.csv, types: {n: int}}}" + OUT

    shown = preview(project, stages, files={"read": project.root / "[other].csv"})

    assert after(shown["read"].passages) == [{"n": 7}]


@pytest.mark.parametrize(
    "sink",
    [
        "{type: parquet, path: out.parquet, columns: {n: str}}",
        "{type: objects, url: 's3://lake/{part}.parquet', format: {type: parquet, columns: {n: str}}}",
    ],
)
def test_a_record_that_does_not_fit_the_columns_of_parquet_fails_and_nothing_is_written(
    project: Project, sink: str
) -> None:
    project.records([1])

    shown = preview(project, READ + f"out: {{sink: {sink}}}")

    ((outcome, why),) = outcomes(shown["out"])
    assert outcome == "failed"
    assert "field 'n' is 1, and its column is of type str" in why
    assert not (project.root / "out.parquet").exists()


def test_a_row_that_a_csv_sink_cannot_write_fails(project: Project) -> None:
    project.records([1])
    stages = READ + "out: {sink: {type: csv, path: out.csv, fields: [m]}}"

    shown = preview(project, stages)

    ((outcome, why),) = outcomes(shown["out"])
    assert outcome == "failed"
    assert "no column for 'n'" in why
    assert not (project.root / "out.csv").exists()


def test_a_stage_that_cannot_go_on_says_so_and_the_others_are_shown(project: Project) -> None:
    project.records([1, 2, 3])

    shown = preview(project, READ + "once: {dedupe: {key: n, max_keys: 1, within: 1h}}" + OUT)

    assert "max_keys" in shown["once"].note
    assert "out" in shown


def test_a_handler_that_changes_its_record_does_not_change_what_is_shown_before(project: Project) -> None:
    project.records([1])
    handlers = "def work(r):\n    r['n'] = 9\n    return r"

    shown = preview(project, READ + "work: {call: handlers:work}" + OUT, handlers=handlers)

    assert shown["work"].passages[0].before == {"n": 1}
    assert after(shown["work"].passages) == [{"n": 9}]


@pytest.mark.parametrize("limit", [1, 7])
def test_of_a_large_file_no_more_is_read_than_the_limit_needs(project: Project, limit: int) -> None:
    path: Path = project.root / "in.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(20_000)))

    shown = preview(project, READ + OUT, limit=limit)

    assert len(shown["read"].passages) == limit


@pytest.mark.parametrize("given", [False, True])
def test_a_last_line_without_its_end_is_shown_at_once(project: Project, *, given: bool) -> None:
    (project.root / "in.csv").write_text("n\n1\n2")
    files = {"read": project.root / "in.csv"} if given else {}
    began = time.monotonic()

    shown = preview(project, "read: {source: {type: csv, path: in.csv}}" + OUT, files=files)

    # A run waits five seconds for such a file to grow.
    assert time.monotonic() - began < 4
    assert [passage.before for passage in shown["out"].passages] == [{"n": "1"}, {"n": "2"}]
