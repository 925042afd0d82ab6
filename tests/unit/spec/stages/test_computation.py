"""What is written for a function over the records of a group, and is none."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.stages.computation import counts_condition, parse_computation


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("count_if(qty > 1)", "write sum(condition), such as sum(delay > 15)"),
        (
            "round(avg(x), 2)",
            "it is more than one function of the records; write one function for each field",
        ),
        ("mean(max(a, b))", "did you mean 'avg'?"),
        ("p95(x)", "write quantile(x, 0.95)"),
        ("array_agg(x)", "none collects values; use first(x), last(x) or count_distinct(x)"),
        ("list(x)", "none collects values"),
    ],
)
def test_a_function_of_other_tools_is_answered_with_what_to_write(text: str, fix: str) -> None:
    with pytest.raises(ExpressionError) as told:
        parse_computation(text)

    assert fix in str(told.value)


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("count(a > 1)", True),
        ("count(a and b)", True),
        ("count(not a)", True),
        ("count(a)", False),
        ("count()", False),
        ("count_distinct(a > 1)", False),
        ("sum(a > 1)", False),
    ],
)
def test_a_count_of_a_condition_is_recognised(text: str, does: bool) -> None:
    assert counts_condition(parse_computation(text)) is does
