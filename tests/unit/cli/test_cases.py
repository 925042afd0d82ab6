"""`test`: what is printed of tests, written as JUnit, JSON and into files, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from rsq_pipe.cli.test import command
from rsq_pipe.cli.validate import command as validate
from rsq_pipe.errors import SpecValidationError
from tests.support.project import Project

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {call: "handlers:work"}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""
HANDLERS = """
    def work(record):
        print("printed")
        return {**record, "m": record["n"] * 2}
"""
TESTS = """\
tests:
  doubled:
    stage: work
    given: [{n: 1}]
    expect:
      out:
        - {n: 1, m: 2}
  tripled:
    stage: work
    given: [{n: 1}]
    expect:
      out:
        - {n: 1, m: 3}
  unsaid:
    from: work
    given: [{n: 2}]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path / "project", "orders")
    project.spec(STAGES)
    project.handlers(HANDLERS)
    (project.root / "pipeline_test.yaml").write_text(TESTS)
    monkeypatch.chdir(project.root)
    return project


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def test_a_record_that_is_dropped_although_the_test_does_not_say_so_is_told_with_what_to_add(
    project: Project,
) -> None:
    project.spec(
        "read: {source: {type: jsonl, path: in.jsonl}}\nkeep: {filter: n > 1}\nout: {sink: {type: stdout}}"
    )
    (project.root / "pipeline_test.yaml").write_text(
        "tests: {some: {stage: keep, given: [{n: 1}, {n: 2}], expect: {out: [{n: 2}]}}}\n"
    )

    done = run("pipeline.yaml")

    assert done.exit_code == 1
    assert (
        "dropped: expected 0, got 1 (filter: 1); if that is right, add `dropped: 1` to `expect`"
        in done.stdout
    )


def test_what_came_otherwise_is_shown_beside_what_was_expected_with_its_place(project: Project) -> None:
    done = run("pipeline.yaml", "-k", "led")

    assert done.exit_code == 1
    assert done.stdout.splitlines()[:6] == [
        "pipeline_test.yaml",
        "  ok    doubled",
        "  FAIL  tripled",
        "        pipeline_test.yaml:13:11: out[0] came otherwise",
        "          - m: 3",
        "          + m: 2",
    ]
    assert "1 passed, 1 failed in" in done.stdout
    assert "printed" not in done.stdout


def test_a_test_that_expects_nothing_is_not_passed(project: Project) -> None:
    done = run("-k", "unsaid")

    assert done.exit_code == 1
    assert "pipeline_test.yaml:14:3: it does not say what it expects; `rsq-pipe test --update`" in done.output


def test_update_writes_what_happens(project: Project) -> None:
    assert run("--update").exit_code == 0

    added = "    expect:\n      out:\n        - {n: 2, m: 4}\n"
    assert (project.root / "pipeline_test.yaml").read_text() == TESTS.replace("m: 3", "m: 2") + added
    assert run().exit_code == 0


def test_tests_are_chosen_by_words_and_by_stage(project: Project) -> None:
    assert "doubled" in run("-k", "DOUB").output
    assert "unsaid" in run("--stage", "out").output
    assert "tripled" not in run("--stage", "out").output
    missing = run("-k", "doubld")
    assert missing.exit_code == 2
    assert "did you mean 'doubled'?" in " ".join(missing.output.split())


def test_junit_is_what_continuous_integration_reads(project: Project) -> None:
    run("--junit", "report.xml")

    suite = ET.parse(project.root / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert suite[0].get("name") == "doubled"
    failure = suite[1].find("failure")
    assert failure is not None
    assert failure.get("message") == "pipeline_test.yaml:13:11: out[0] came otherwise"
    assert "- m: 3" in (failure.text or "")


def test_json_is_an_object_a_test(project: Project) -> None:
    done = run("--json", "-k", "tripled")

    assert done.exit_code == 1
    (found,) = map(json.loads, done.stdout.splitlines())
    assert found["outcome"] == "failed"
    assert (found["file"], found["test"], found["line"]) == ("pipeline_test.yaml", "tripled", 8)
    assert found["mismatches"][0]["fields"] == [{"path": "m", "expected": 3, "actual": 2}]


def test_a_pipeline_without_tests_is_told_where_they_would_stand(project: Project) -> None:
    (project.root / "pipeline_test.yaml").rename(project.root / "other.txt")

    of_file, of_folder = run("pipeline.yaml"), run()

    assert (of_file.exit_code, of_folder.exit_code) == (2, 2)
    assert "there is no 'pipeline_test.yaml'" in of_file.output
    assert "there is no test here or below" in of_folder.output


def test_the_mistakes_of_all_files_come_at_once(project: Project) -> None:
    for name in ("one", "other"):
        (project.root / name).mkdir()
        (project.root / name / "a.yaml").write_text(project.path.read_text())
        (project.root / name / "a_test.yaml").write_text("tests: {x: {stage: wrk, given: []}}")

    with pytest.raises(SpecValidationError) as caught:
        run()

    assert [problem.file for problem in caught.value.problems] == ["one/a_test.yaml", "other/a_test.yaml"]


def test_tests_of_a_pipeline_need_no_client_of_a_server_and_no_telemetry(project: Project) -> None:
    script = (
        "import sys; from rsq_pipe.cli.test import command\n"
        "try: command(['-k', 'doubled'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('redis', 'opentelemetry.sdk', 'duckdb') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_validate_checks_a_file_of_tests_as_one(project: Project) -> None:
    right = CliRunner().invoke(validate, ["."])
    (project.root / "pipeline_test.yaml").write_text("tests: {x: {stage: wrk, given: []}}")
    wrong = CliRunner().invoke(validate, ["pipeline_test.yaml"])

    assert (right.exit_code, "pipeline_test.yaml: ok, 3 tests" in right.output) == (0, True)
    assert wrong.exit_code == 2
    assert wrong.output.startswith(
        "pipeline_test.yaml:1:20: tests.x.stage: pipeline 'orders' has no stage 'wrk'"
    )
