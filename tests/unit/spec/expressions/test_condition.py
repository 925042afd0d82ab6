"""Conditions that give every record the same answer are suspicious."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsq_pipe.spec.expressions.condition import suspicion
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.loader import check


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("True", "it reads no field, and is true for every record"),
        ("1 > 2", "it reads no field, and is false for every record"),
        ("'country == 1'", "it reads no field, and is true for every record"),
        ("any(x > 1 for x in [1, 2])", "it reads no field, and is true for every record"),
        ("country == 'Germany' or 'France'", "`or 'France'` makes it true for every record"),
        ("a or (b or 1)", "`or 1` makes it true for every record"),
        ("a and 0", "`and 0` makes it false for every record"),
    ],
)
def test_a_condition_that_is_the_same_for_every_record_is_suspicious(text: str, what: str) -> None:
    assert suspicion(compile_expression(text))[0] == what


@pytest.mark.parametrize(
    "text",
    ["country == 'Germany'", "'a' in record", "total", "a or b or ''", "a and 1", "any(x > 1 for x in xs)"],
)
def test_a_condition_that_may_differ_is_not_suspicious(text: str) -> None:
    assert suspicion(compile_expression(text)) == ("", "")


def test_validate_warns_of_a_condition_that_is_always_true(tmp_path: Path) -> None:
    spec = tmp_path / "p.yaml"
    spec.write_text(
        "version: 1\npipeline: p\nstages:\n  read: {source: {type: stream, stream: in}}\n"
        "  keep: {filter: \"country == 'Spain' or 'France'\"}\n  out: {sink: {type: stdout}}\n"
    )

    (problem,) = check(spec).problems

    assert str(problem).endswith(
        ":5:18: warning: stages.keep.filter: `or 'France'` makes it true for every record; to compare "
        "with several values, write `field in [a, b]`"
    )
