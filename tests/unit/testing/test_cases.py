"""Tests of a pipeline as a file: what is run, and what stands in for what is outside."""

from __future__ import annotations

import pytest

from tests.support.project import Project
from tests.unit.testing.case_project import STAGES, found, mistakes, one, run, written


def test_one_stage_is_tested_by_its_ports(project: Project) -> None:
    result = one(
        project,
        """
          sorted by size:
            stage: route
            given: [{total: 100}, {total: 99}]
            expect: {large: [{total: 100}], small: [{total: 99}]}
        """,
    )

    assert result.is_passed


def test_a_record_that_leaves_one_stage_by_a_port_that_is_not_named_is_a_mistake(project: Project) -> None:
    result = one(
        project,
        """
          sorted:
            stage: route
            given: [{total: 100}, {total: 99}]
            expect: {large: [{total: 100}]}
        """,
    )

    assert found(result) == [("small", "unexpected")]


def test_dead_letters_are_expected_by_reason_and_a_part_of_the_error(project: Project) -> None:
    result = one(
        project,
        """
          refused:
            stage: check
            given: [{closed: true}, {}]
            expect:
              out: [{}]
              dlq: [{reason: rejected, error: account, record: {closed: true}}]
        """,
    )

    assert result.is_passed


def test_a_dead_letter_that_nobody_expects_fails_any_test(project: Project) -> None:
    text = """
          priced:
            from: check
            match: partial
            given: [{price: 1}]
            expect: {}
    """

    assert found(one(project, text)) == [("dlq", "unexpected")]


def test_records_that_end_are_counted_by_reason(project: Project) -> None:
    text = """
          number: {stage: check, given: [{gone: 1}], expect: {dropped: 1}}
          reason: {stage: check, given: [{gone: 1}], expect: {dropped: {gone: 1}}}
          unsaid: {stage: check, given: [{gone: 1}], expect: {out: []}}
    """
    results = run(written(project, text))

    assert [result.is_passed for result in results.values()] == [True, True, False]
    assert found(results["unsaid"]) == [("dropped", "count")]


def test_a_record_that_fails_is_tried_as_often_as_the_stage_says(project: Project) -> None:
    text = """
          third time: {stage: check, given: [{flaky: 3}], expect: {out: [{flaky: 3}]}}
          too often:
            stage: check
            given: [{flaky: 4}]
            expect: {dlq: [{error: not yet, reason: handler_error}]}
          later: {stage: check, given: [{later: 1}], expect: {dlq: [{error: later}]}}
    """

    assert all(result.is_passed for result in run(written(project, text)).values())


def test_a_part_of_the_pipeline_is_tested_from_one_stage_to_another(project: Project) -> None:
    result = one(
        project,
        """
          priced:
            from: check
            to: price
            given: [{price: 2, quantity: 3}]
            expect: {out: [{price: 2, quantity: 3, total: 6}], check: [{price: 2, quantity: 3}]}
        """,
    )

    assert result.is_passed
    assert [stage.name for stage in result.case.stages] == ["check", "price"]


def test_the_whole_pipeline_ends_in_what_its_sinks_would_write(project: Project) -> None:
    result = one(
        project,
        """
          whole:
            given:
              - {id: 1, price: 50, quantity: 3}
              - {id: 2, price: {}, quantity: 3}
            match: partial
            expect:
              large: [{id: 1, total: 150}]
              mended: [{id: 2, total: 0}]
              dlq: [{stage: price}]
        """,
    )

    assert result.is_passed, result.mismatches
    assert not (project.root / "out").exists()


def test_a_sink_that_cannot_write_a_record_has_a_dead_letter(project: Project) -> None:
    result = one(project, "odd: {stage: small, given: [{id: 1, more: 2}], expect: {dlq: [{error: more}]}}")

    assert result.is_passed, result.mismatches


def test_a_sink_refuses_what_the_test_says(project: Project) -> None:
    result = one(
        project,
        """
          refused:
            stage: large
            mocks: {sinks: {large: {refuse: total > 100, error: too large}}}
            given: [{total: 100}, {total: 101}]
            expect: {out: [{total: 100}], dlq: [{error: too large}]}
        """,
    )

    assert result.is_passed


def test_a_handler_stands_in_for_another(project: Project) -> None:
    text = """
          instead:
            stage: check
            mocks: {calls: {check: "handlers:lenient"}}
            given: [{closed: true}]
            expect: {out: [{closed: true, lenient: true}]}
    """

    assert one(project, text).is_passed


@pytest.mark.parametrize("table", ["{redis: 'customers:{id}'}", "people.csv"])
def test_a_lookup_finds_the_rows_of_the_test(project: Project, table: str) -> None:
    (project.root / "people.csv").write_text("id,name\n7,other\n")
    stages = f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        find: {{lookup: {{table: {table}, key: id, fields: [name], missing: reject}}}}
        out: {{sink: {{type: stdout}}}}
    """
    text = """
          found:
            stage: find
            mocks: {lookups: {find: {"7": {name: ada}}}}
            given: [{id: 7}, {id: 8}]
            expect: {out: [{id: 7, name: ada}], dlq: [{reason: rejected}]}
    """

    assert one(project, text, stages=stages).is_passed


def test_a_lookup_in_a_server_needs_rows(project: Project) -> None:
    stages = """
        read: {source: {type: jsonl, path: in.jsonl}}
        find: {lookup: {table: {redis: "customers:{id}"}, key: id, fields: [name]}}
        out: {sink: {type: stdout}}
    """
    (mistake,) = mistakes(project, "found: {given: [{id: 7}], expect: {}}", stages=stages)

    assert mistake.startswith("/pipeline_test.yaml:2:3: tests.found: stage 'find' asks a server")
    assert "mocks: {lookups: {find: {KEY: {...}}}}" in mistake


WINDOWS = """
    read: {source: {type: jsonl, path: in.jsonl}}
    hours: {aggregate: {by: [shop], every: 1h, on: at, compute: {sold: sum(n)}}}
    out: {sink: {type: stdout}}
"""


def test_windows_close_when_the_records_are_done(project: Project) -> None:
    result = one(
        project,
        """
          an hour each:
            stage: hours
            match: partial
            given:
              - {shop: a, at: "2026-03-01T09:10:00Z", n: 1}
              - {shop: a, at: "2026-03-01T09:50:00Z", n: 2}
              - {shop: a, at: "2026-03-01T10:00:00Z", n: 4}
            expect: {out: [{shop: a, sold: 3}, {shop: a, sold: 4}]}
        """,
        stages=WINDOWS,
    )

    assert result.is_passed, result.mismatches


def test_a_join_is_given_records_by_its_inputs(project: Project) -> None:
    stages = """
        orders: {source: {type: jsonl, path: in.jsonl}}
        payments: {source: {type: jsonl, path: in2.jsonl}}
        paid: {join: {left: orders, right: payments, on: id, within: 1h}}
        out: {sink: {type: stdout}}
    """
    text = """
          together:
            stage: paid
            given: {orders: [{id: 1}, {id: 2}], payments: [{id: 1, paid: 5}]}
            expect: {out: [{id: 1, payments: {id: 1, paid: 5}}]}
    """

    assert one(project, text, stages=stages).is_passed
    (mistake,) = mistakes(project, "x: {stage: paid, given: [{id: 1}]}", stages=stages)
    assert "given: {orders: [...], payments: [...]}" in mistake


def test_now_is_what_the_test_says(project: Project) -> None:
    stages = """
        read: {source: {type: jsonl, path: in.jsonl}}
        stamp: {map: {at: str(now())}}
        out: {sink: {type: stdout}}
    """
    text = """
          stamped:
            now: 2026-03-01T09:30:00Z
            given: [{}]
            expect: {out: [{at: 2026-03-01T09:30:00Z}]}
    """

    assert one(project, text, stages=stages).is_passed


def test_a_stage_that_stops_the_run_is_expected_to(project: Project) -> None:
    stages = STAGES.replace(
        'check: {call: "handlers:check"}', 'check: {call: "handlers:check", on_error: stop}'
    )
    text = """
          stops: {stage: check, given: [{flaky: 9}], expect: {stopped: not yet}}
          goes on: {stage: check, given: [{flaky: 9}], expect: {out: []}}
    """
    results = run(written(project, text, stages=stages))

    assert results["stops"].is_passed
    assert found(results["goes on"]) == [("stopped", "text")]
