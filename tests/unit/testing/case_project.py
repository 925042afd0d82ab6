"""The project and the helpers of the tests of test files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from textwrap import dedent, indent

import pytest

from rsq_pipe.errors import SpecValidationError
from rsq_pipe.testing.cases.reading import read_cases
from rsq_pipe.testing.cases.results import CaseResult, results_of
from tests.support.project import Project

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
