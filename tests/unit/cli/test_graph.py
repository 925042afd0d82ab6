"""Drawings of a pipeline: every stage once, every stream from where it is written to where it is read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from rsq_pipe.cli.diagram import dot, mermaid, text
from rsq_pipe.cli.diagram.model import Diagram, diagram
from rsq_pipe.spec.loader import load
from tests.support.project import Project

FORKED = """
    read: {source: {type: jsonl, path: in.jsonl}}
    sort:
      route: [{to: large, when: "n > 5"}, {to: small, otherwise: true}]
    big: {from: sort.large, sink: {type: jsonl, path: big.jsonl}}
    both: {from: [sort.large, sort.small], sink: {type: jsonl, path: both.jsonl}}
    bad: {from: sort.errors, sink: {type: jsonl, path: bad.jsonl}}
"""
OUTSIDE = """
    take: {from: {stream: orders-in}, map: {m: n}, to: {stream: orders-out}}
    read: {source: {type: jsonl, path: in.jsonl}}
    keep: {from: read, sink: {type: stdout}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "web")


def drawn(project: Project, stages: str) -> Diagram:
    return diagram(load(project.spec(stages)))


def test_sources_and_sinks_of_streams_are_called_what_the_file_calls_them(project: Project) -> None:
    chain = drawn(
        project,
        """
        read: {source: {type: stream, stream: orders-in}}
        add: {map: {m: "n + 1"}}
        out: {sink: {type: stream, stream: orders-out}}
        """,
    )

    titles = {node.name: node.title for node in chain.nodes}
    assert titles["read"] == "source stream"
    assert titles["out"] == "sink stream"
    assert titles["orders-in"] == "stream"


def test_a_chain_is_one_lane(project: Project) -> None:
    chain = drawn(project, 'read: {source: {type: jsonl, path: in.jsonl}}\nadd: {map: {m: "n + 1"}}\n')

    assert text.draw(chain, {"add": "3 waiting"}) == dedent("""\
        web
        ●  read  source jsonl in.jsonl
        ○  add   map m                  3 waiting
        """)


def test_on_a_narrow_screen_what_a_stage_does_goes_on_below_beside_the_lanes(project: Project) -> None:
    assert text.draw(drawn(project, FORKED), {"read": "12,345 waiting, 1 dead"}, 45) == dedent("""\
        web
        ●        read  source jsonl in.jsonl 12,345
        │              waiting, 1 dead
        ○        sort  route
        ├─┬─┬─╮
        ● │ │ │  big   sink jsonl big.jsonl (from
          │ │ │        sort.large)
          ├─╯ │
          ●   │  both  sink jsonl both.jsonl (from
              │        sort.large, sort.small)
              ●  bad   sink jsonl bad.jsonl (from
                       sort.errors)
        """)


def test_lanes_fork_at_a_route_and_join_at_a_stage_that_reads_several(project: Project) -> None:
    assert text.draw(drawn(project, FORKED), {}) == dedent("""\
        web
        ●        read  source jsonl in.jsonl
        ○        sort  route
        ├─┬─┬─╮
        ● │ │ │  big   sink jsonl big.jsonl (from sort.large)
          ├─╯ │
          ●   │  both  sink jsonl both.jsonl (from sort.large, sort.small)
              ●  bad   sink jsonl bad.jsonl (from sort.errors)
        """)


def test_streams_from_outside_are_drawn_and_no_stage_seems_fed_by_what_ended_above_it(
    project: Project,
) -> None:
    assert text.draw(drawn(project, OUTSIDE), {}) == dedent("""\
        web
        ◇    orders-in   stream
        ●    take        map m
        │ ●  read        source jsonl in.jsonl
        │ ●  keep        sink stdout
        ◇    orders-out  stream
        """)


def test_a_lane_that_passes_others_crosses_them(project: Project) -> None:
    stages = """
        a: {source: {type: jsonl, path: a.jsonl}}
        b: {source: {type: jsonl, path: b.jsonl}}
        c: {source: {type: jsonl, path: c.jsonl}}
        ac: {from: [a, c], sink: {type: stdout}}
        bc: {from: b, sink: {type: jsonl, path: out.jsonl}}
    """

    assert text.draw(drawn(project, stages), {}).splitlines()[4] == "├─┼─╯"


def test_dead_letters_that_are_read_are_an_edge(project: Project) -> None:
    edges = {(edge.source, edge.target, edge.port) for edge in drawn(project, FORKED).edges}

    assert edges == {
        ("read", "sort", ""),
        ("sort", "big", "large"),
        ("sort", "both", "large"),
        ("sort", "both", "small"),
        ("sort", "bad", "errors"),
    }


def test_mermaid_quotes_what_it_would_read_as_its_own(project: Project) -> None:
    stages = "read: {source: {type: jsonl, path: in.jsonl}}\npick: {filter: 'name == \"a\" and n < 5'}\n"

    lines = mermaid.draw(drawn(project, stages), {"pick": "5 dead"}).splitlines()

    assert lines == [
        "flowchart TD",
        '    n0[/"<b>read</b><br/>source jsonl in.jsonl"/]',
        '    n1["<b>pick</b><br/>filter name == #quot;a#quot; and n #lt; 5<br/>5 dead"]',
        "    n0 -.-> n1",
    ]


def test_dot_quotes_names_and_labels(project: Project) -> None:
    stages = "read: {source: {type: jsonl, path: in.jsonl}}\npick: {filter: 'name == \"a\"'}\n"

    lines = dot.draw(drawn(project, stages), {}).splitlines()

    assert lines[0] == 'digraph "web" {'
    assert '    "pick" [label="pick\\nfilter name == \\"a\\"" shape=box]' in lines
    assert '    "read" -> "pick" [style=dashed]' in lines


def test_a_fused_stage_is_marked_in_every_form_and_names_the_stage_above(project: Project) -> None:
    route = "{from: read, route: [{to: all, otherwise: true}]}"
    stages = f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        sort: {route}
        add: {{from: sort.all, map: {{m: n}}}}
        apart: {{map: {{k: m}}, fuse: false}}
        out: {{sink: {{type: stdout}}}}
    """

    found = drawn(project, stages)

    marks = [line[0] for line in text.draw(found, {}).splitlines()[1:]]
    assert marks == ["●", "○", "○", "●", "●"]
    assert [line.split('"')[0].strip() for line in mermaid.draw(found, {}).splitlines() if "->" in line] == [
        *("n0 -.-> n1", "n1 -.->|", "n2 --> n3", "n3 --> n4"),
    ]
    assert [line.strip() for line in dot.draw(found, {}).splitlines() if "->" in line] == [
        '"read" -> "sort" [style=dashed]',
        '"sort" -> "add" [label="all" style=dashed]',
        '"add" -> "apart"',
        '"apart" -> "out"',
    ]
    above = {node["name"]: node["fused"] for node in found.document({})["nodes"]}
    assert above == {"read": None, "sort": "read", "add": "sort", "apart": None, "out": None}


def test_a_drawing_needs_neither_redis_nor_opentelemetry(project: Project) -> None:
    script = (
        "import sys; from rsq_pipe.cli.graph import command;"
        f"command([{str(project.spec(FORKED))!r}], standalone_mode=False);"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    *_, loaded = done.stdout.splitlines()
    assert not {"redis", "hiredis", "opentelemetry"} & set(loaded.split())


def test_a_secret_in_a_path_is_masked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "canary-in-a-path")

    chain = drawn(project, "read: {source: {type: jsonl, path: '${secret:PLACE}'}}")

    assert "canary" not in text.draw(chain, {}) + str(chain.document({}))
    assert "source jsonl ***" in text.draw(chain, {})


def test_a_connector_says_where_unless_that_may_be_a_secret(project: Project) -> None:
    spec = project.spec("""
        tick: {source: {type: schedule, cron: "0 * * * *"}}
        run: {source: {type: exec, command: [curl, -H, "token: secret"]}}
        made: {source: {type: generate, count: 1}}
        keys: {from: [tick, run, made], sink: {type: redis, kind: list, key: last, url: "redis://:secret@db"}}
    """)

    told = [(node.name, node.detail) for node in diagram(load(spec)).nodes]

    assert told == [
        ("tick", "schedule 0 * * * *"),
        ("run", "exec curl"),
        ("made", "generate"),
        ("keys", "redis last"),
    ]
