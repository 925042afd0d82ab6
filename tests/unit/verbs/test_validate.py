"""validate: what goes on, and what is told of a record that does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from time import perf_counter
from typing import Any

import pytest
import yaml
from yamlcore import CCoreLoader

from rsq_pipe.engine.fusion import fused
from rsq_pipe.errors import RecordInvalidError, SpecValidationError
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.loader import check, load
from rsq_pipe.spec.stages.field_rule import FieldRule
from rsq_pipe.spec.stages.record_check import SchemaCheck, draft_check
from rsq_pipe.testing import StageRun, run_stage
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.verb import Verb
from tests.support.project import Project
from tests.unit.verbs.given import batch, each, stage

READ = "read: {source: {type: jsonl, path: '*.jsonl'}}\n"
OUT = "\nout: {sink: {type: jsonl, path: out/all.jsonl}}"
FIELDS = "fields: {id: int, placed: 'date >= 2026-01-01', total: 'float >= 0', note: str?}"
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "total": {"type": "number", "minimum": 0},
        "lines": {"items": {"required": ["price"], "properties": {"price": {"type": "number"}}}},
    },
    "required": ["id", "placed"],
}
CLASSES = ("Model", "Data", "Typed", "Packed")
MODELS = """
import dataclasses
import datetime as dt
import threading
import time
from typing import NotRequired, TypedDict

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

seen = set()


class Model(BaseModel):
    id: int
    placed: dt.date
    total: float = Field(default=0.0, ge=0)


@dataclasses.dataclass
class Data:
    id: int
    placed: dt.date
    total: float = 0.0


class Typed(TypedDict):
    id: int
    placed: dt.date
    total: NotRequired[float]


class Packed(msgspec.Struct):
    id: int
    placed: dt.date
    total: float = 0.0


class Renamed(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    order_id: int
    placed_on: dt.date


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=False)
    number: int = Field(alias="orderId")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int


class Own(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def looked_at(cls, value):
        seen.add(threading.current_thread() is threading.main_thread())
        if value == 0: raise ValueError("no order has number 0")
        if value == 1: raise ConnectionError("nobody answers")
        if value == 2: time.sleep(1)
        return value


class Broken(BaseModel):
    id: "Nowhere"


def function(record): return record
"""


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


def errors(run: StageRun) -> list[str]:
    assert {letter.reason for letter in run.dead} <= {"invalid_record"}
    return [str(letter.error).partition(" is not ")[2] for letter in run.dead]


def test_fields_go_on_as_the_type_they_spell_and_others_as_they_are(checked: Any) -> None:
    run = checked(FIELDS, {"x": 1, "id": "7", "placed": "2026-01-02", "total": 3, "note": None})

    assert run.records == [{"x": 1, "id": 7, "placed": "2026-01-02", "total": 3.0, "note": None}]
    assert type(run.records[0]["total"]) is float


def test_every_mistake_of_a_record_is_in_its_dead_letter(checked: Any) -> None:
    run = checked(
        FIELDS,
        {"id": "7x", "placed": "2025-12-31", "total": -1, "note": 5},
        {"placed": None},
        {"id": 1, "placed": "2026-01-01", "total": 0},
    )

    mistakes = (
        "id: must be a whole number (got '7x'); placed: must be >= 2026-01-01 (got '2025-12-31'); "
        "total: must be >= 0 (got -1); note: must be text (got 5)"
    )
    assert errors(run) == [
        f"valid: {mistakes}",
        "valid: id: is missing; placed: must not be null; total: is missing",
    ]
    assert [record["id"] for record in run.records] == [1]


async def test_the_error_names_stage_and_fields_and_is_final() -> None:
    [failed] = await outcomes(FIELDS, {"id": True, "placed": "2026-01-01", "total": 1})

    assert isinstance(failed, Failure)
    assert isinstance(failed.error, RecordInvalidError)
    assert not failed.retryable
    assert failed.error.stage == "check"
    assert failed.error.fields == {"id": "must be a whole number (got True)"}


async def test_a_record_that_is_converted_is_a_copy_and_one_that_is_not_is_itself() -> None:
    spelt = {"id": "7", "placed": "2026-01-02", "total": 1.5}
    given = {"id": 7, "placed": "2026-01-02", "total": 1.5}

    found = await outcomes(FIELDS, spelt, given)

    assert spelt["id"] == "7"
    assert found[0] == given
    assert found[1] is given


@pytest.mark.parametrize(
    "what",
    ["fields: {id: int, placed: date, total: float?}", *(f"model: 'handlers:{name}'" for name in CLASSES)],
)
def test_other_fields_stay_go_or_are_mistakes(checked: Any, what: str) -> None:
    known = {"id": 7, "placed": "2026-01-02", "total": 1.5}
    record = {"x": [1], **known, "y": {}}

    assert checked(what, record).records == [record]
    assert checked(f"{what}, extra: drop", record).records == [known]
    [mistakes] = errors(checked(f"{what}, extra: reject", record | {"id": "?"}))
    assert "x: is not among the fields; y: is not among the fields; id: " in mistakes


def test_other_fields_are_told_by_the_properties_of_a_schema(checked: Any) -> None:
    (record, known) = {"x": 1, "id": 7, "placed": "2026-01-02"}, "schema: order.json, extra"

    assert checked("schema: order.json", record).records == [record]
    # `placed` is required, and is none of the schema's `properties`.
    assert errors(checked(f"{known}: drop", record)) == ["valid by order.json: placed: is missing"]
    assert errors(checked(f"{known}: reject", record)) == [
        "valid by order.json: x: is not among the fields; placed: is not among the fields"
    ]


def test_a_schema_changes_nothing_and_names_every_mistake(checked: Any) -> None:
    good = {"id": 12.0, "placed": 1, "lines": [{"price": 1}]}
    run = checked("schema: order.json", good, {"id": "12", "total": -1, "lines": [{"price": "x"}, {}, {}]})

    assert run.records == [good]
    assert type(run.records[0]["id"]) is float
    assert set(errors(run)[0].removeprefix("valid by order.json: ").split("; ")) == {
        "placed: is missing",
        "id: is not of type \"integer\" (got '12')",
        "total: is less than the minimum of 0 (got -1)",
        "lines.0.price: is not of type \"number\" (got 'x')",
        "lines.1.price: is missing",
        "lines.2.price: is missing",
    }


def test_a_dead_letter_names_the_mistakes_of_sixty_fields(checked: Any) -> None:
    wanted = ", ".join(f"field_{n}: int" for n in range(60))

    [error] = errors(checked(f"fields: {{{wanted}}}", {f"field_{n}": "x" for n in range(60)}))

    assert error.count("must be a whole number (got 'x')") == 60


def test_what_a_dead_letter_has_no_room_for_is_counted_in_it(checked: Any) -> None:
    [error] = errors(checked("schema: order.json", {"id": "x" * 80, "placed": 1, "lines": [{}] * 1000}))

    named = error.count("is missing")
    assert named > 90
    # All but those named; `id` is one as well.
    assert error.endswith(f"; and {1001 - named - error.count('id: ')} more")


async def test_a_hundred_mistakes_are_named_and_the_others_counted() -> None:
    given = batch({"id": 1, "placed": 1, "lines": [{}] * 1000})

    [failed] = each(given, await verb(SchemaCheck("order.json", SCHEMA)).process(given))

    assert len(failed.error.fields) == 100
    assert str(failed.error).endswith("; and 900 more")


def test_formats_of_a_schema_are_checked_and_patterns_take_bounded_time(project: Project) -> None:
    schema = {"properties": {"day": {"format": "date"}, "code": {"pattern": "^(?=a)(a+)+$"}}}
    (project.path.parent / "order.json").write_text(json.dumps(schema))
    project.spec(READ + "work: {validate: {schema: order.json}}" + OUT)

    run = run_stage(project.path, "work", [{"day": "2026-02-30"}, {"code": "a" * 60 + "b"}, {"code": "aa"}])

    assert run.records == [{"code": "aa"}]
    assert 'day: is not a "date"' in errors(run)[0]
    assert errors(run)[1].startswith("valid by order.json: code: ")


async def test_of_a_very_large_record_one_mistake_is_told_soon() -> None:
    given = batch({"id": 1, "placed": 1, "lines": [{}] * 1_000_000})

    began = perf_counter()
    [failed] = each(given, await verb(SchemaCheck("order.json", SCHEMA)).process(given))

    assert perf_counter() - began < 2  # all of them take ten seconds
    assert failed.error.fields == {
        "lines.0.price": "is missing",
        "the record": "has more than 5,000 values: only the first mistake is reported",
    }


async def test_what_json_has_no_form_for_fails_its_record_alone() -> None:
    given = batch({"id": b"x", "placed": 1}, {"id": "\ud800", "placed": 1}, {"id": 1, "placed": 1})

    found = each(given, await verb(SchemaCheck("order.json", SCHEMA)).process(given))

    assert found[2] == {"id": 1, "placed": 1}
    assert all("the record: cannot be checked: " in str(one.error) for one in found[:2])


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


def test_a_rule_may_hold_a_variable_and_its_mistake_is_told_at_its_start(project: Project) -> None:
    path = project.spec(READ + "work: {validate: {fields: {n: 'int < ${MOST}'}}}" + OUT)

    assert run_rule(path, MOST="10").broken(10) == "must be < 10"
    [problem] = [one for one in check(path, environ={"MOST": "many"}).problems if one.severity == "error"]
    assert (problem.line, problem.column) == (11, 33)
    assert problem.what == "'many' is not a whole number"


def run_rule(path: Path, **environ: str) -> FieldRule:
    rule: FieldRule = load(path, environ=environ).stage("work").options.rules["n"]
    return rule


def test_the_schema_file_is_read_once(project: Project) -> None:
    file = project.path.parent / "order.json"
    file.write_text(json.dumps(SCHEMA))
    graph = load(project.spec(READ + "work: {validate: {schema: order.json}}" + OUT))
    file.unlink()

    assert build(graph.stage("work"), root=graph.root, pipeline="orders").pure


@pytest.mark.parametrize(
    ("work", "loads"),
    [
        ("filter: n", False),
        ("validate: {fields: {n: int}}", False),
        ("validate: {fields: {n: str matches a}}", True),
    ],
)
def test_the_schema_library_is_loaded_only_where_it_is_needed(
    project: Project, work: str, *, loads: bool
) -> None:
    path = project.spec(READ + f"work: {{{work}}}" + OUT)
    script = (
        "import sys\n"
        "from rsq_pipe.cli.main import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        f"cli(['validate', {str(path)!r}], standalone_mode=False)\n"
        "print('\\nloaded:', 'jsonschema_rs' in sys.modules)\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.endswith(f"loaded: {loads}\n")


async def outcomes(settings: str, *records: Any) -> list[Any]:
    """What becomes of records in a stage that has these rules."""
    given = batch(*records)
    check = draft_check(Document("spec.yaml"), yaml.load(settings, CCoreLoader), ())
    return each(given, await verb(check).process(given))


def verb(check: Any) -> Verb:
    return build(stage("check", "validate", check), root=Path(), pipeline="orders")
