"""`rsq-pipe connectors`: the list, one connector, and a name that is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from rsq_pipe.cli.connectors import BOUNDED, command
from rsq_pipe.connectors.examples import EXAMPLES
from rsq_pipe.connectors.table import LISTED, SOURCES, Kind, Listed, connector, types
from rsq_pipe.extras import install
from rsq_pipe.spec.loader import check


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_connector_is_listed_with_what_it_promises() -> None:
    lines = run().splitlines()

    for kind in LISTED:
        for name in types(kind):
            (line,) = (line for line in lines if line.split()[:2] == [kind, name])
            assert LISTED[kind][name].promise in line


def test_an_extra_that_is_missing_is_listed_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "parquet", Listed("parquet.source", "goes on", "parquet", "nowhere"))

    assert f"\nnot installed: parquet; to install: {install('parquet')}\n" in run()
    assert "which is not installed here" in run("parquet")


def test_a_name_shows_source_and_sink_with_every_setting_and_an_example() -> None:
    shown = run("csv")

    assert "source csv: exactly once" in shown
    assert "sink csv: exactly once" in shown
    for kind in LISTED:
        for setting in connector(kind, "csv").options.model_fields:
            assert any(line.startswith(f"{setting} ") for line in shown.splitlines()), setting
    assert "source: {type: csv, path: " in shown


@pytest.mark.parametrize("name", sorted({name for kind in LISTED for name in types(kind)}))
def test_what_stands_below_does_stand_below(name: str) -> None:
    shown = run(name)
    groups = re.findall(r"group ([^,]+?), see", shown)

    for group in groups:
        assert f"\n  {group}: " in shown


def test_where_there_is_no_terminal_every_setting_is_a_line() -> None:
    lines = run("http").splitlines()

    for field, setting in connector("source", "http").options.model_fields.items():
        told = (setting.description or "").replace("`", "")
        assert any(line.startswith(f"{field} ") and line.endswith(told) for line in lines), field


def test_the_settings_of_each_format_are_shown_once() -> None:
    lines = run("objects").splitlines()

    for title in ("format (reading csv)", "format (writing csv)", "rotate (of objects)"):
        assert sum(line.startswith(f"  {title}: ") for line in lines) == 1, title
    assert any(line.startswith("delimiter ") for line in lines)


def test_json_holds_the_same() -> None:
    listed = json.loads(run("--json"))
    one, sink = json.loads(run("parquet", "--json"))

    assert {(one["kind"], one["type"]) for one in listed} == {(k, n) for k in LISTED for n in types(k)}
    assert one["extra"] == "parquet"
    assert {setting["key"] for setting in one["settings"]} == {"path", "watch", "columns"}
    assert (sink["kind"], sink["extra"]) == ("sink", "parquet")
    (rotate,) = sink["groups"]
    assert (rotate["name"], {one["key"] for one in rotate["settings"]}) == (
        *("rotate", {"size", "every", "records"}),
    )


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(command, ["parket"])

    assert result.exit_code == 2
    assert "there is no connector 'parket'; did you mean 'parquet'?" in result.output


def test_every_connector_has_an_example() -> None:
    assert {(kind, name) for kind in LISTED for name in types(kind)} == set(EXAMPLES)


@pytest.mark.parametrize(("kind", "name"), EXAMPLES)
def test_each_example_is_a_stage_that_can_be_run(
    kind: Kind, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for secret in re.findall(r"\$\{secret:(\w+)\}", EXAMPLES[kind, name]):
        monkeypatch.setenv(secret, {"PG": "postgresql"}.get(secret, secret.lower()) + "://shop@db/shop")
    example = yaml.safe_load(EXAMPLES[kind, name])
    assert example["type"] == name
    other = "source: {type: stream, stream: x}" if kind == "sink" else "sink: {type: stdout}"
    here = f"{kind}: {EXAMPLES[kind, name]}"
    first, second = (here, other) if kind == "source" else (other, here)
    spec = tmp_path / "p.yaml"
    spec.write_text(f"version: 1\npipeline: p\nstages:\n  read: {{{first}}}\n  write: {{{second}}}\n")

    checked = check(spec)

    theirs = ("no file", "there is no module")  # what an example names and is not here
    assert [one for one in checked.problems if not any(what in one.what for what in theirs)] == []


def test_it_says_that_a_command_without_resume_is_read_from_its_first_line_again() -> None:
    shown = " ".join(run("exec").split())

    assert (
        "none: the command is run again and read from its first line: what an earlier run has stored enters"
        in shown
    )


def test_it_says_which_sinks_have_the_timeout_of_their_stage() -> None:
    assert "beside sink: timeout (30s) bounds one request" in run("http")
    assert "beside sink: timeout (30s) bounds one run of the command" in run("exec")
    assert "beside sink: timeout (30s) bounds one call" in run("python")
    assert "beside sink" not in run("kafka")
    assert set(BOUNDED) == {name for name in types("sink") if connector("sink", name).sender is not None}
