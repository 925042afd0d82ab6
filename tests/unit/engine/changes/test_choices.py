"""What a refused file offers are commands that lead on, in every state."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.engine.changes.change import Plan, StageChange
from rsq_pipe.engine.changes.choices import refusal
from rsq_pipe.engine.changes.past import Holding
from rsq_pipe.spec.loader import load

SPEC = """
version: 1
pipeline: p
stages:
  read: {source: {type: jsonl, path: in.jsonl}}
  out: {sink: {type: stdout}}
"""
NEW = StageChange("new", "added", verb="map")
OTHER = StageChange("other", "added", verb="call")
SINK = StageChange("write", "added", verb="sink")


def gone(
    name: str, heir: str = "", *, verb: str = "call", lag: int = 0, pending: int = 0, dead: int = 0
) -> StageChange:
    holds = Holding(lag=lag, pending=pending, dead=dead)
    return StageChange(name, "renamed" if heir else "removed", "", holds, heir, f"holds {holds}", verb)


SAVE = "rsq-pipe plan SPEC --show-last > LAST"
FINISH = f"{SAVE} && rsq-pipe run LAST OPTIONS"
FRESH = "rsq-pipe run SPEC --fresh"


def commands(tmp_path: Path, *changes: StageChange, spec: str = SPEC) -> list[str]:
    """List what is offered, with the names of files and options as words."""
    path = tmp_path / "my file.yaml"
    path.write_text(spec)
    options = " --redis unix:///x"
    text = refusal(load(path), Plan("p", ran=True, kept=True, stages=changes), options)
    text = text.replace(f"'{path}'{options}", "SPEC").replace(f"'{path.with_suffix('.last.yaml')}'", "LAST")
    return [line.strip().replace(options.strip(), "OPTIONS") for line in text.splitlines() if "    " in line]


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        pytest.param(
            [gone("slow", "new", lag=3, dead=2), NEW],
            [FINISH, "rsq-pipe run SPEC --rename slow=new", "rsq-pipe run SPEC --discard slow", FRESH],
            id="renamed",
        ),
        pytest.param(
            [gone("slow", dead=2)],
            [
                f"{SAVE} && rsq-pipe dlq replay LAST OPTIONS --stage slow --yes && rsq-pipe run LAST OPTIONS",
                "rsq-pipe run SPEC --discard slow",
                FRESH,
            ],
            id="only dead letters, which finishing would leave as they are",
        ),
        pytest.param(
            [gone("read", verb="source", dead=2)],
            ["rsq-pipe run SPEC --discard read", FRESH],
            id="dead letters of a source, which nothing enters again",
        ),
        pytest.param(
            [gone("slow", lag=1), NEW, OTHER],
            [FINISH, "rsq-pipe run SPEC --rename slow=NEW", "rsq-pipe run SPEC --discard slow", FRESH],
            id="two that it may be called now",
        ),
        pytest.param(
            [gone("slow", lag=1), NEW, SINK],
            [FINISH, "rsq-pipe run SPEC --rename slow=new", "rsq-pipe run SPEC --discard slow", FRESH],
            id="a sink is not a new name of a call",
        ),
        pytest.param(
            [gone("slow", lag=1), SINK],
            [FINISH, "rsq-pipe run SPEC --discard slow", FRESH],
            id="removed, with no new stage that it could be",
        ),
        pytest.param(
            [gone("slow", "new", lag=1), gone("b", pending=1), NEW],
            [
                FINISH,
                "rsq-pipe run SPEC --rename slow=new --discard b",
                "rsq-pipe run SPEC --discard slow --discard b",
                FRESH,
            ],
            id="one renamed and one removed",
        ),
    ],
)
def test_each_choice_is_a_command_that_leads_on(
    tmp_path: Path, changes: list[StageChange], offered: list[str]
) -> None:
    assert commands(tmp_path, *changes) == offered


JOIN = """
version: 1
pipeline: p
stages:
  read: {source: {type: jsonl, path: in.jsonl}}
  told: {source: SOURCE}
  both: {join: {left: read, right: told, on: id, within: 1h}}
  out: {sink: {type: SINK}}
"""
REMEMBERS = StageChange(
    "both", "changed", "join", Holding(keys=2), "", "remembers 2 keys by another `join`", "join"
)
DISCARD = "rsq-pipe run SPEC --discard both"


@pytest.mark.parametrize(
    ("source", "offered"),
    [
        ("{type: csv, path: in.csv}", [FINISH, DISCARD, FRESH]),
        # Its windows close when all input has ended, which a file that is followed never does.
        ("{type: csv, path: in.csv, follow: true}", [DISCARD, FRESH]),
        # What was received is nowhere else.
        ("{type: webhook, listen: '127.0.0.1:8080'}", [DISCARD]),
        ("{type: csv, path: '-'}", [FINISH, DISCARD]),
    ],
)
def test_starting_over_is_a_choice_where_every_source_can_be_read_again(
    tmp_path: Path, source: str, offered: list[str]
) -> None:
    spec = JOIN.replace("SOURCE", source).replace("SINK", "stdout")

    assert commands(tmp_path, REMEMBERS, spec=spec) == offered


def test_starting_over_names_the_sinks_that_send_everything_again(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    found = Plan("p", ran=True, kept=True, stages=(REMEMBERS,))

    def said(sink: str) -> str:
        path.write_text(JOIN.replace("SOURCE", "{type: csv, path: in.csv}").replace("SINK", sink))
        return refusal(load(path), found)

    assert "'out' sends everything again" in said("http, url: 'http://localhost/'")
    assert "'out' sends everything again" in said("mqtt, broker: 'localhost:1883', topic: t")
    assert "sends everything again" not in said("jsonl, path: out.jsonl")


def test_a_password_that_is_not_printed_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    path.write_text(SPEC)
    found = Plan("p", ran=True, kept=True, stages=(gone("slow", lag=1),))

    assert "for ***" not in refusal(load(path), found, " --redis redis://me@host")
    assert "password for ***" in refusal(load(path), found, " --redis redis://me:hunter2@host")
