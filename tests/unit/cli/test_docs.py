"""`docs`: a page about a pipeline, with the fields that are known, and nothing that Markdown mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.docs import command
from tests.support.project import Project

STAGES = """
    read: {source: {type: csv, path: in.csv}}
    shape: {description: What *others* need., select: [id, total]}
    check: {call: handlers:check}
    price: {map: {net: total / 1.2, total: null}}
    route:
      route: [{to: large, when: net >= 100}, {to: small, otherwise: true}]
    large: {from: route.large, sink: {type: jsonl, path: out/large.jsonl}}
    small: {from: route.small, sink: {type: jsonl, path: out/small.jsonl}}
    bad: {from: check.errors, sink: {type: jsonl, path: out/bad.jsonl}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", "orders")
    project.handlers("def check(record): return record")
    (project.root / "in.csv").write_text("id,total,note\n1,2,3\n")
    return project


def page(project: Project) -> str:
    done = CliRunner().invoke(command, [str(project.path)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def section(text: str, stage: str) -> str:
    return text.partition(f"## {stage}\n")[2].partition("\n## ")[0].strip()


def test_each_stage_says_what_it_does_and_reads_and_which_fields_are_behind_it(project: Project) -> None:
    project.spec(STAGES, top="description: Orders, priced.")

    text = page(project)

    assert text.startswith("# orders\n\nOrders, priced.\n\n```mermaid\nflowchart TD\n")
    assert section(text, "read") == "`source csv in.csv`\n\nFields behind it: `id`, `total`, `note`."
    assert section(text, "shape").startswith("What \\*others\\* need.\n\n`select")
    assert "Fields behind it: `id`, `total`." in section(text, "shape")
    assert section(text, "check") == (
        "`call handlers:check`, of `shape`\n\nA record that fails is a dead letter after 3 attempts. "
        "Its dead letters are read by `bad`."
    )
    assert "- `net`: `total / 1.2`\n- `total`: removed" in section(text, "price")
    assert "- `large`: `net >= 100`\n- `small`: all others" in section(text, "route")
    assert section(text, "large") == "`sink jsonl out/large.jsonl`, of `route.large`"
    assert section(text, "bad").startswith(
        "`sink jsonl out/bad.jsonl`, of `check.errors`\n\nFields: `id`, `total`."
    )


def test_what_markdown_would_take_for_its_own_is_escaped(project: Project) -> None:
    project.spec(
        "read: {source: {type: jsonl, path: a.jsonl}}\nwork: {map: {m: \"'`x`'\"}}\n"
        "out: {sink: {type: stdout}}",
        top='description: "<script> *a* | [b](c)\\n# d"',
    )

    text = page(project)

    assert "\\<script\\> \\*a\\* \\| \\[b\\](c)\\\\n\\# d" in text
    assert "- `m`: `` '`x`' ``" in text


def test_no_secret_is_said(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret-word")
    project.spec(
        "read: {source: {type: jsonl, path: a.jsonl}}\nwork: {filter: \"key == '${secret:TOKEN}'\"}\n"
        "out: {sink: {type: stdout}}"
    )

    assert "s3cret" not in page(project)
