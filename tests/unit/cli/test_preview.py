"""`preview`: what is printed of the first records, and how its options are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rsq_pipe.cli.output.difference import Change, differences
from rsq_pipe.cli.preview import command
from rsq_pipe.errors import SpecError
from tests.support.project import Project

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {map: {m: n * 2, n: null, name: null}}
    keep: {filter: m > 0}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "orders")
    project.spec(STAGES)
    project.records(range(2), name="ada")
    return project


def preview(project: Project, *options: str) -> Result:
    return CliRunner().invoke(command, [str(project.path), *options], catch_exceptions=False)


def test_each_stage_shows_its_records_before_and_after(project: Project) -> None:
    done = preview(project)

    assert done.exit_code == 0
    assert done.output == (
        "read  source jsonl in.jsonl  2 out\n"
        '    read:in.jsonl:1  {"n": 0, "name": "ada"}\n'
        '    read:in.jsonl:2  {"n": 1, "name": "ada"}\n'
        "\n"
        "work  map  2 records, 2 out\n"
        "  ~ read:in.jsonl:1\n"
        '      {"n": 0, "name": "ada"}\n'
        "    - n: 0\n"
        '    - name: "ada"\n'
        "    + m: 0\n"
        "  ~ read:in.jsonl:2\n"
        '      {"n": 1, "name": "ada"}\n'
        "    - n: 1\n"
        '    - name: "ada"\n'
        "    + m: 2\n"
        "\n"
        "keep  filter  2 records, 1 out, 1 dropped\n"
        "  - read:in.jsonl:1  dropped: filter\n"
        '      {"m": 0}\n'
        "  = read:in.jsonl:2\n"
        "\n"
        "out  sink jsonl out.jsonl  1 record, 1 to write\n"
        '  > read:in.jsonl:2  {"m": 2}\n'
    )


def test_one_stage_is_shown_alone(project: Project) -> None:
    done = preview(project, "--stage", "keep", "--limit", "1")

    assert done.output.splitlines()[0] == "keep  filter  1 record, 0 out, 1 dropped"
    assert "work" not in done.output


def test_json_is_one_object_a_stage_and_record(project: Project) -> None:
    rows = [json.loads(line) for line in preview(project, "--json").output.splitlines()]

    assert [(row["stage"], row["outcome"]) for row in rows] == [
        ("read", "emitted"),
        ("read", "emitted"),
        ("work", "emitted"),
        ("work", "emitted"),
        ("keep", "dropped"),
        ("keep", "emitted"),
        ("out", "written"),
    ]
    assert rows[2] == {
        "stage": "work",
        "rid": "read:in.jsonl:1",
        "outcome": "emitted",
        "reason": "",
        "before": {"n": 0, "name": "ada"},
        "after": [{"port": "", "rid": "read:in.jsonl:1", "record": {"m": 0}}],
    }


def test_what_a_terminal_acts_on_is_escaped(project: Project) -> None:
    (project.root / "in.jsonl").write_text('{"n": 1, "name": "\\u001b[2J\\u202e", "x\\u0007\\n": 1}\n')

    output = preview(project).output

    assert "\\x1b[2J\\u202e" in output.replace("\\u001b", "\\x1b")
    assert not {"\x1b", "\u202e", "\x07"} & set(output)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--stage", "wrok"], "has no stage 'wrok'"),
        (["--input", "none.jsonl"], "there is no file 'none.jsonl'"),
        (["--input", "wrok=in.jsonl"], "has no stage 'wrok'"),
        (["--limit", "0"], "'--limit'"),
    ],
)
def test_a_wrong_option_is_refused_with_what_is_wrong(
    project: Project, options: list[str], what: str
) -> None:
    done = preview(project, *options)

    assert done.exit_code == 2
    assert what in done.output


def test_a_file_whose_name_says_no_format_is_refused(project: Project) -> None:
    done = preview(project, "--input", str(project.path))

    assert done.exit_code == 2
    said = done.output.replace("│", " ")  # the box that older releases draw around it
    assert "ends in none of .jsonl, .ndjson, .csv, .tsv" in " ".join(said.split())


def test_differences_name_fields_within_fields() -> None:
    before = {"a": {"b": 1, "c": [1]}, "same": 1, "gone": None, "kind": 1}
    after = {"a": {"b": 2, "c": [1]}, "same": 1, "new": None, "kind": True}

    assert list(differences(before, after)) == [
        Change("changed", "a.b", 1, 2),
        Change("removed", "gone", None),
        Change("changed", "kind", before=1, after=True),
        Change("added", "new"),
    ]


SECRET = """
    read: {source: {type: http, url: "https://shop.example", headers: {Authorization: "${secret:SHOP_KEY}"}}}
    out: {sink: {type: postgres, dsn: "postgresql://shop:${secret:PG_KEY}@db/shop", table: orders}}
"""


def test_a_secret_of_a_source_is_asked_for_since_a_preview_reads_it(project: Project) -> None:
    project.spec(SECRET)

    with pytest.raises(SpecError) as failed:
        preview(project)

    told = str(failed.value)
    assert told.startswith(f"{project.path}:11:10: stages.read.source: a preview reads the source 'read'")
    assert "secret SHOP_KEY is not set" in told
    assert told.endswith("or give it records of a file: --input read=FILE")


def test_with_records_of_a_file_no_secret_of_a_source_or_a_sink_is_asked_for(project: Project) -> None:
    project.spec(SECRET)

    done = preview(project, "--input", f"read={project.root / 'in.jsonl'}")

    assert (done.exit_code, done.output.count("> read:in.jsonl")) == (0, 2)


def test_of_a_record_only_the_columns_that_a_csv_sink_writes_are_shown(project: Project) -> None:
    read = "read: {source: {type: jsonl, path: in.jsonl}}"
    project.spec(f"{read}\nout: {{sink: {{type: csv, path: out.csv, fields: [name], extra: ignore}}}}")

    assert '  > read:in.jsonl:2  {"name": "ada"}\n' in preview(project).output
    last = json.loads(preview(project, "--json").output.splitlines()[-1])
    assert last["before"] == {"n": 1, "name": "ada"}
    assert [made["record"] for made in last["after"]] == [{"name": "ada"}]


def test_a_webhook_is_not_waited_for(project: Project) -> None:
    project.spec("""
        receive: {source: {type: webhook, listen: "127.0.0.1:8080"}}
        out: {sink: {type: jsonl, path: out.jsonl}}
    """)

    assert "--input receive=FILE" in " ".join(preview(project).output.split())
    assert preview(project, "--input", f"receive={project.root / 'in.jsonl'}").exit_code == 0
