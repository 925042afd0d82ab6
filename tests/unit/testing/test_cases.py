"""Tests of a pipeline as a file: what is run, what counts, and where something is wrong with the file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from textwrap import dedent, indent

import jsonschema
import pytest
import yaml
from yamlcore import CCoreLoader

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.testing.cases.reading import read_cases, test_files
from rsq_pipe.testing.cases.results import CaseResult, results_of
from rsq_pipe.testing.cases.schema import schema_text
from rsq_pipe.testing.cases.updating import NotUpdatableError, updated
from tests.support.project import Project

ROOT = Path(__file__).parents[3]
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    check: {call: "handlers:check"}
    price: {map: {total: price * quantity}}
    route:
      route:
        - {to: large, when: total >= 100}
        - {to: small, otherwise: true}
    large: {from: route.large, sink: {type: jsonl, path: out/large.jsonl}}
    small: {from: route.small, sink: {type: csv, path: out/small.csv, fields: [id]}}
    mend: {from: price.errors, map: {total: 0}}
    mended: {sink: {type: stdout}}
"""
HANDLERS = """
    from rsq_pipe import Drop, Reject, Retry

    def check(order, ctx):
        if order.get("gone"):
            return Drop("gone")
        if order.get("closed"):
            return Reject("the account is closed")
        if order.get("flaky"):
            if ctx.attempt < order["flaky"]:
                raise ValueError("not yet")
        if order.get("later"):
            return Retry("1h", "later")
        print("a handler that prints")
        return order

    def lenient(order):
        return {**order, "lenient": True}
"""


def written(project: Project, text: str, *, stages: str = STAGES) -> Path:
    project.handlers(HANDLERS)
    project.spec(stages)
    file = project.root / "pipeline_test.yaml"
    file.write_text("tests:\n" + indent(dedent(text).strip("\n"), "  ") + "\n")
    return file


def run(file: Path) -> dict[str, CaseResult]:
    async def collect() -> list[CaseResult]:
        return [result async for result in results_of(read_cases(file).cases)]

    return {result.case.name: result for result in asyncio.run(collect())}


def one(project: Project, text: str, *, stages: str = STAGES) -> CaseResult:
    (result,) = run(written(project, text, stages=stages)).values()
    return result


def mistakes(project: Project, text: str, *, stages: str = STAGES) -> list[str]:
    file = written(project, text, stages=stages)
    with pytest.raises(SpecValidationError) as caught:
        read_cases(file)
    return [str(problem).replace(str(project.root), "") for problem in caught.value.problems]


def found(result: CaseResult) -> list[tuple[str, str]]:
    return [(mismatch.what, mismatch.kind) for mismatch in result.mismatches]


def test_an_empty_file_is_told_how_a_file_of_tests_begins(project: Project) -> None:
    file = written(project, "")
    file.write_text("# nothing yet\n")

    with pytest.raises(SpecValidationError) as caught:
        read_cases(file)

    assert str(caught.value) == f"{file}:1:1: the file is empty; start with `tests:`"


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


UPDATED = """\
# of the shop
tests:
  # nothing is expected yet
  new:
    stage: route   # the last one
    given: [{total: 100}]
  wrong:
    stage: route
    given:
      - {total: 1}   # small
      - {total: 2}
    expect:
      # both
      small:
        - {total: 1}   # stays
        - total: 3   # goes above
      large: []   # none

  right:
    stage: check
    given: [{n: 1}]
    expect: {out: [{n: 1.0}]}   # kept as it is
"""


def test_update_rewrites_what_is_wrong_and_nothing_else(project: Project) -> None:
    file = written(project, "")
    file.write_text(UPDATED)
    stale = [(one.case, one.happened) for one in run(file).values() if not one.is_passed]

    new = updated(UPDATED, stale)

    file.write_text(new)
    assert all(result.is_passed for result in run(file).values())
    assert new == UPDATED.replace(
        "        - total: 3   # goes above\n", "        - {total: 2}   # goes above\n"
    ).replace(
        "    given: [{total: 100}]\n",
        "    given: [{total: 100}]\n    expect:\n      large:\n        - {total: 100}\n",
    )


def test_update_keeps_the_comments_of_what_it_rewrites(project: Project) -> None:
    text = """
          x:
            stage: check
            given: [{n: 1}, {n: 2}]
            expect:
              out:  # first
                # second
                - n: 0   # third
                  # fourth
                  m: 1
    """
    file = written(project, text)
    before = file.read_text()
    result = run(file)["x"]

    new = updated(before, [(result.case, result.happened)])

    file.write_text(new)
    assert run(file)["x"].is_passed
    assert all(word in new for word in ("# first", "# second", "# third", "# fourth"))


def test_update_keeps_to_the_fields_that_a_partial_test_names(project: Project) -> None:
    text = """
          x:
            stage: price
            match: partial
            given: [{price: 2, quantity: 3}]
            expect:
              out: [{total: 5}]
    """
    file = written(project, text)
    result = run(file)["x"]

    new = updated(file.read_text(), [(result.case, result.happened)])

    assert yaml.load(new, CCoreLoader)["tests"]["x"]["expect"] == {"out": [{"total": 6}]}


def test_update_refuses_what_it_cannot_write_without_changing_more(project: Project) -> None:
    text = """
          x:
            stage: check
            expect: {out: [&one {n: 2}]}
            given: [*one, {n: 1}]
    """
    file = written(project, text)
    result = run(file)["x"]

    with pytest.raises(NotUpdatableError):
        updated(file.read_text(), [(result.case, result.happened)])


def test_the_committed_schema_of_tests_is_the_one_the_models_give() -> None:
    committed = (ROOT / "docs/schema/pipeline_test.schema.json").read_text()

    assert committed == schema_text(), "run: rsq-pipe schema --tests --output ..."


@pytest.mark.parametrize("file", sorted(test_files(ROOT)), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_schema_takes_every_test_file_of_the_repository(file: Path) -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)

    jsonschema.Draft202012Validator(schema).validate(yaml.load(file.read_text(), CCoreLoader))
