"""Where something is wrong with a file of tests, it is told."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from yamlcore import CCoreLoader

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.testing.cases.reading import read_cases, test_files
from rsq_pipe.testing.cases.schema import schema_text
from tests.support.project import Project
from tests.unit.testing.case_project import mistakes, one, written

ROOT = Path(__file__).parents[3]


def test_an_empty_file_is_told_how_a_file_of_tests_begins(project: Project) -> None:
    file = written(project, "")
    file.write_text("# nothing yet\n")

    with pytest.raises(SpecValidationError) as caught:
        read_cases(file)

    assert str(caught.value) == f"{file}:1:1: the file is empty; start with `tests:`"


def test_mistakes_are_told_with_line_and_column(project: Project) -> None:
    text = """
          a stage:
            stage: chekc
            given: [{}]
          a port:
            stage: route
            given: [{total: 1}]
            expect: {lrage: []}
          a source:
            given: {raed: []}
          a moment:
            stage: check
            now: noon
            given: []
          a mock:
            stage: check
            mocks: {calls: {check: "handlers:lenit"}, sinks: {large: {refuse: "total >"}}}
            given: {file: none.jsonl}
    """

    told = [mistake.partition("; ")[0] for mistake in mistakes(project, text)]

    assert told == [
        "/pipeline_test.yaml:3:12: tests.a stage.stage: pipeline 'orders' has no stage 'chekc'",
        "/pipeline_test.yaml:8:14: tests.a port.expect.lrage: no records leave by 'lrage' here",
        "/pipeline_test.yaml:10:13: tests.a source.given.raed: no records come from 'raed' here",
        "/pipeline_test.yaml:13:10: tests.a moment.now: 'noon' is not a moment",
        *told[4:],
    ]
    assert told[4].startswith(
        "/pipeline_test.yaml:17:28: tests.a mock.mocks.calls.check: stage 'check' cannot"
    )
    assert "sinks.large.refuse: not an expression" in told[5]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("x: {given: [1]}", "2:14: tests.x.given: must be a list of records, or a mapping"),
        ("x: {given: [{a: 1}, 1]}", "not a list that holds the number 1; write - {id: 1}"),
        ("x: {given: [], expect: [{a: 1}]}", "not a list; write {STAGE: [...]}, or {dlq: 1}, {dropped: 1}"),
        ("x: {stage: check, to: price, given: []}", "2:6: tests.x: it has `stage` and `from` or `to`"),
        (
            "x: {given: [], expects: {}}",
            "2:18: tests.x.expects: unknown key 'expects'; did you mean 'expect'?",
        ),
        ("x: {given: [], expect: {large: 3}}", "expect.large: must be a list of records"),
        ("x: {expect: {}}", "tests.x.given: 'given' is missing"),
    ],
)
def test_what_is_no_test_is_told(project: Project, text: str, wrong: str) -> None:
    assert wrong in mistakes(project, text)[0]


def test_a_key_misspelt_in_a_list_is_told_alone(project: Project) -> None:
    told = mistakes(project, "x: {stage: check, given: [], expect: {dlq: [{reason: a, eror: b}]}}")

    assert ["expect.dlq[0].eror: unknown key 'eror'; did you mean 'error'?" in one for one in told] == [True]


def test_a_test_whose_form_is_wrong_does_not_hide_what_is_wrong_with_others(project: Project) -> None:
    told = mistakes(project, "one: {given: [], expcet: {}}\nother: {stage: chekc, given: []}")

    assert ["expcet" in told[0], "chekc" in told[1]] == [True, True]


def test_variables_are_data_in_a_test_file(project: Project) -> None:
    assert one(
        project, "x: {stage: check, given: [{a: '${HOME}'}], expect: {out: [{a: '${HOME}'}]}}"
    ).is_passed


def test_test_files_are_found_below_a_folder_but_not_in_environments(tmp_path: Path) -> None:
    for folder in (".hidden", "env", "a/b", "node_modules"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "orders_test.yaml").touch()
    (tmp_path / "env/pyvenv.cfg").touch()
    (tmp_path / "orders.yaml").touch()

    assert [str(path.relative_to(tmp_path)) for path in test_files(tmp_path)] == ["a/b/orders_test.yaml"]


def test_the_committed_schema_of_tests_is_the_one_the_models_give() -> None:
    committed = (ROOT / "docs/schema/pipeline_test.schema.json").read_text()

    assert committed == schema_text(), "run: rsq-pipe schema --tests --output ..."


@pytest.mark.parametrize("file", sorted(test_files(ROOT)), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_takes_every_test_file_of_the_repository(file: Path) -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.Draft202012Validator(schema).validate(yaml.load(file.read_text(), CCoreLoader))
