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

from rsq_pipe.errors import RecordInvalidError
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
from tests.unit.verbs.validating import CLASSES, MODELS, OUT, READ, SCHEMA, errors

FIELDS = "fields: {id: int, placed: 'date >= 2026-01-01', total: 'float >= 0', note: str?}"


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
