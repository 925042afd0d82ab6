"""What counts when a test compares the records it expects with those that came."""

from __future__ import annotations

import pytest

from tests.support.project import Project
from tests.unit.testing.case_project import found, one, run, written


def test_the_order_counts_unless_it_is_said_not_to(project: Project) -> None:
    text = """
          given: {stage: check, given: [{n: 1}, {n: 2}], expect: {out: [{n: 2}, {n: 1}]}}
          any: {stage: check, order: any, given: [{n: 1}, {n: 2}], expect: {out: [{n: 2}, {n: 1}]}}
    """
    results = run(written(project, text))

    assert found(results["given"]) == [("out[0]", "changed"), ("out[1]", "changed")]
    assert results["any"].is_passed


@pytest.mark.parametrize(
    ("expected", "passes"),
    [("0.3", True), ("0.3000001", False), ("{n: 1}", False), ('"0.3"', False)],
)
def test_numbers_may_differ_by_rounding_only(project: Project, expected: str, passes: bool) -> None:
    text = f"""
        x:
          stage: price
          match: partial
          given: [{{price: 0.1, quantity: 3}}]
          expect: {{out: [{{total: {expected}}}]}}
    """

    assert one(project, text).is_passed is passes


def test_true_is_not_1(project: Project) -> None:
    assert not one(project, "x: {stage: check, given: [{n: 1}], expect: {out: [{n: true}]}}").is_passed


def test_a_record_that_is_missing_does_not_make_those_behind_it_wrong(project: Project) -> None:
    text = "x: {stage: check, given: [{n: 1}, {n: 3}], expect: {out: [{n: 1}, {n: 2}, {n: 3}]}}"

    assert found(one(project, text)) == [("out[1]", "missing")]


def test_records_are_read_from_a_file(project: Project) -> None:
    (project.root / "data").mkdir()
    project.records(range(3), "data/numbers.jsonl")
    text = "x: {stage: check, given: {file: data/numbers.jsonl}, expect: {out: [{n: 0}, {n: 1}, {n: 2}]}}"

    assert one(project, text).is_passed
