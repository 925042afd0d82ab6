"""A command that misses its stage lists those it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from rsq_pipe.cli.main import cli

SPEC = """
version: 1
pipeline: orders
stages:
  read: {source: {type: jsonl, path: in.jsonl}}
  once: {dedupe: {key: order_id, within: 24h}}
  save: {sink: {type: stdout}}
"""


def said(output: str) -> str:
    """Undo the box around an error."""
    return " ".join(re.sub("[│╭╮╰╯─]", " ", output).split())


@pytest.mark.parametrize(
    ("command", "missing", "names"),
    [
        ("peek", "'STAGE'", "once or save"),
        ("state", "'STAGE'", "once"),
        ("repair", "'STAGE'", "save"),
        ("pause", "'STAGE...'", "read, once or save"),
        ("resume", "'STAGE...'", "read, once or save"),
    ],
)
def test_a_missing_stage_is_answered_with_the_choices(
    command: str, missing: str, names: str, tmp_path: Path
) -> None:
    spec = tmp_path / "orders.yaml"
    spec.write_text(SPEC)

    done = CliRunner().invoke(cli, [command, str(spec)])

    assert done.exit_code == 2
    assert said(done.output).endswith(f"Missing argument {missing}. Name {names}")


def test_a_missing_stage_of_a_file_that_is_none_is_only_said_to_be_missing(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["peek", str(tmp_path / "nowhere.yaml")])

    assert done.exit_code == 2
    assert said(done.output).endswith("Missing argument 'STAGE'.")
