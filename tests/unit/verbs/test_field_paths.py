"""Wherever a verb takes the path of a field: inside null it is null, inside anything else it is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.testing import StageRun, run_stage
from tests.support.project import Project

NULL = {"n": 1, "a": None, "l": [7]}
ELSEWHERE: list[dict[str, Any]] = [
    {"l": [7], "n": 1},
    {"l": [7], "n": 1, "a": {}},
    {"l": [7], "n": 1, "a": 5},
]

VERBS: dict[str, list[Any]] = {
    "select: [n, a.b]": [{"n": 1, "a": {"b": None}}],
    "select: {keep: [n, a.b], missing: ignore}": [{"n": 1, "a": {"b": None}}],
    "select: {keep: [n, a.b], rename: {a.b: x}}": [{"n": 1, "x": None}],
    "select: {rename: {a.b: x}}": [{**NULL, "x": None}],
    "select: {rename: {a.b: x}, missing: ignore}": [{**NULL, "x": None}],
    "select: {rename: {a.b: a.x}}": [NULL],
    "select: {rename: {a.b: a.x}, missing: ignore}": [NULL],
    "select: {drop: [a.b]}": [NULL],
    "select: {drop: [a.b], missing: ignore}": [NULL],
    "explode: {field: a.b, as: x, empty: keep}": [{**NULL, "x": None}],
    "explode: {field: l, as: x, keep: [n, a.b]}": [{"n": 1, "a": {"b": None}, "x": 7}],
    "dedupe: {key: [n, a.b], within: 1h}": [NULL],
    "lookup: {table: table.csv, key: a.b, by: id, as: x}": [{**NULL, "x": None}],
    "lookup: {table: table.csv, key: [a.b, n], by: [id, n], as: x}": [{**NULL, "x": None}],
}


def of(tmp_path: Path, verb: str, *records: dict[str, Any]) -> StageRun:
    project = Project(tmp_path / "project", "orders")
    (project.root / "table.csv").write_text("id,n,name\n1,1,ada\n")
    read = "read: {source: {type: jsonl, path: in.jsonl}}"
    spec = project.spec(f"{read}\nwork:\n  {verb}\nout: {{sink: {{type: stdout}}}}")
    return run_stage(spec, "work", records)


@pytest.mark.parametrize("verb", VERBS)
def test_a_field_inside_null_is_null(tmp_path: Path, verb: str) -> None:
    assert of(tmp_path, verb, NULL).records == VERBS[verb]


@pytest.mark.parametrize("verb", [verb for verb in VERBS if "ignore" not in verb])
def test_a_field_inside_of_anything_else_is_missing(tmp_path: Path, verb: str) -> None:
    found = of(tmp_path, verb, *ELSEWHERE)

    assert not found.records
    assert len(found.dead or found.retried) == len(ELSEWHERE)


def test_a_list_inside_null_has_no_items(tmp_path: Path) -> None:
    found = of(tmp_path, "explode: {field: a.b, as: x}", NULL, {"n": 1, "a": {"b": [3]}, "l": [7]})

    assert (found.dropped, found.records) == ([NULL], [{"n": 1, "a": {}, "l": [7], "x": 3}])


def test_a_single_key_inside_null_is_a_null_key(tmp_path: Path) -> None:
    (found,) = of(tmp_path, "dedupe: {key: a.b, within: 1h}", NULL).dead

    assert "the key is null" in str(found.error)
