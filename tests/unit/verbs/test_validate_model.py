"""validate by a model: what it converts, fills in and refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from rsq_pipe.engine.fusion import fused
from rsq_pipe.errors import SpecValidationError
from rsq_pipe.spec.loader import check, load
from rsq_pipe.testing import StageRun, run_stage
from tests.support.project import Project
from tests.unit.verbs.validating import CLASSES, MODELS, OUT, READ, SCHEMA, errors


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "orders")


@pytest.fixture
def checked(project: Project) -> Any:
    """Run a validate stage with these settings."""
    project.handlers(MODELS)
    (project.path.parent / "order.json").write_text(json.dumps(SCHEMA))

    def run(settings: str, *records: Any, **how: Any) -> StageRun:
        spec = f"{READ}work:\n  validate: {{{settings}}}\n{indent(how.pop('also', ''), '  ')}{OUT}"
        project.spec(spec, **how)
        return run_stage(project.path, "work", records)

    return run


@pytest.mark.parametrize("name", CLASSES)
def test_a_model_converts_as_handlers_do_and_writes_dates_as_text(checked: Any, name: str) -> None:
    run = checked(
        f"model: 'handlers:{name}'",
        {"id": "7", "placed": "2026-01-02", "total": 1},
        {"id": "?", "placed": "soon", "total": "much"},
        {"total": 1},
    )

    assert run.records == [{"id": 7, "placed": "2026-01-02", "total": 1.0}]
    for error, fields in zip(errors(run), (("id", "placed", "total"), ("id", "placed")), strict=True):
        assert error.startswith(f"a valid {name}: ")
        assert all(f" {field}: " in error for field in fields)
        assert error.count(";") == len(fields) - 1


def test_a_model_fills_in_its_defaults(checked: Any) -> None:
    run = checked("model: 'handlers:Packed', extra: drop", {"id": 7, "placed": "2026-01-02", "x": 1})

    assert run.records == [{"id": 7, "placed": "2026-01-02", "total": 0.0}]


def test_a_model_writes_the_names_that_records_have(checked: Any) -> None:
    assert checked("model: 'handlers:Aliased', extra: reject", {"orderId": "1"}).records == [{"orderId": 1}]
    run = checked("model: 'handlers:Renamed'", {"orderId": "1", "placedOn": "2026-01-02"}, {"x": 1})
    assert run.records == [{"orderId": 1, "placedOn": "2026-01-02"}]
    mistakes = "orderId: is missing; placedOn: is missing; x: is not a field of it"
    assert errors(run) == [f"a valid Renamed: {mistakes}"]


def test_what_a_model_says_of_other_fields_holds_where_they_are_kept(checked: Any) -> None:
    closed, record = "model: 'handlers:Closed'", {"id": 1, "x": 1}

    assert "x: Extra inputs are not permitted" in errors(checked(closed, record))[0]
    assert checked(f"{closed}, extra: drop", record).records == [{"id": 1}]


def test_a_models_own_validators_run_in_a_thread_with_retries_and_a_timeout(checked: Any) -> None:
    run = checked("model: 'handlers:Own'", *({"id": n} for n in range(4)), also="timeout: 200ms")

    assert run.records == [{"id": 3}]
    assert sys.modules["handlers"].seen == {False}
    assert errors(run) == ["a valid Own: id: Value error, no order has number 0 (got 0)"]
    assert [letter.record["id"] for letter in run.retried] == [1, 2]
    assert "ConnectionError: nobody answers" in str(run.retried[0].error)
    assert "200ms" in str(run.retried[1].error)


@pytest.mark.parametrize(
    ("name", "what"),
    [("function", "is not a class of records"), ("Broken", "Nowhere"), ("Modle", "did you mean 'Model'?")],
)
def test_a_model_that_cannot_be_used_is_a_mistake_of_the_file(checked: Any, name: str, what: str) -> None:
    with pytest.raises(SpecValidationError, match=f"12:23.*{what}".replace("?", r"\?")):
        checked(f"model: 'handlers:{name}'")


def test_a_stage_joins_the_one_above_unless_a_model_of_the_users_runs(project: Project) -> None:
    project.handlers(MODELS)
    fields, model = "validate: {fields: {id: int}}", "validate: {model: 'handlers:Model'}"
    stages = f"a: {{{fields}}}\nb: {{{model}}}\nc: {{{fields}}}\nd: {{fuse: true, {model}}}\n"
    path = project.spec(READ + stages + f"e: {{fuse: false, {fields}}}" + OUT)

    assert fused(load(path)) == {"a": "read", "c": "b", "d": "c"}


def test_a_model_never_joins_a_source_and_a_file_that_wants_it_is_warned(project: Project) -> None:
    project.handlers(MODELS)
    path = project.spec(READ + "a: {fuse: true, validate: {model: 'handlers:Model'}}" + OUT)

    assert fused(load(path)) == {}
    [warning] = [one for one in check(path).problems if "fuse" in one.path]
    assert "a stage with a model never joins a source" in warning.what
