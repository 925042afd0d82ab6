"""Slips: what another language writes otherwise is answered with how it is written here."""

from __future__ import annotations

import pytest

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.stages.field_rule import RuleError, parse_rule


@pytest.mark.parametrize(
    ("text", "fix", "column"),
    [
        ("total => 5", "write `>=`", 7),
        ("total =< 5", "write `<=`", 7),
        ("a && b", "write `and`", 3),
        ("a || b", "write `or` between conditions, `+` between texts", 3),
        ("id | upper", "write `upper(id)`", 1),
        ("id | default('x')", "write `coalesce(x, instead)` for null", 1),
        ("IF(a > 1, 2, 3)", "write `a if condition else b`", 1),
        ("tags.map(t => t + 1)", "write `[f(x) for x in items]`", 10),
        (".total", "write the name of the field by itself", 1),
        ("hello world", "write \"'hello world'\" for text, `record['hello world']` for a field", 7),
        ("not !paid", "write `not`", 5),
        ("a >> 2", "compare with `>`", 1),
        ("a & b", "write `and`", 1),
        ("a | b", "write `or`", 1),
        ("a <> 2", "write `!=`", 3),
        ("2026-01-08 + n", "write `date('YYYY-MM-DD')`", 1),
        ("placed > 2026-08-09", "write `date('YYYY-MM-DD')`", 10),
        ("a === b", "write `==`", 3),
        ("a = 1", "compare with `==`", 3),
        ("a == 1 and b = 2", "compare with `==`", 14),
        ("'a = b' == c && d", "write `and`", 14),
        ("a AND b", "write `and`, in small letters", 3),
        ("x IS NULL", "write `is None`", 3),
        ("x == NULL", "write `None`", 6),
        ("name like 'a%'", "write `startswith(text, 'a')`", 6),
        ("x between 1 and 2", "write `low <= value <= high`", 3),
        ("a ? b : c", "write `a if condition else b`", 3),
        ("id::text", "write `str(x)`, `int(x)` or `float(x)`", 3),
        ("$.id", "write the name of the field by itself", 1),
        ("this.customer.name", "write `customer['name']`", 1),
        ("{{ total }}", "write `total`", 1),
        ("a ?? b", "write `coalesce(a, b)`", 3),
        ("a == “x”", "write straight quotes", 6),
        ("country.lower()", "write `lower(country)`", 1),
        ("name.strip().lower()", "write `lower(strip(name))`", 1),
        ("', '.join(tags)", "write `join(', ', tags)`", 1),
        ("name.contains('x')", "write `part in text`", 1),
        ("record.country", "write `country`", 1),
        ("customer.address.city", "write `customer['address']['city']`", 1),
        ("record.customer.name", "write `customer['name']`", 1),
        ("length(name)", "write `len(x)`", 1),
        ("IFNULL(a, b)", "write `coalesce(x, instead)`", 1),
    ],
)
def test_a_slip_in_an_expression_is_answered_by_how_it_is_written(text: str, fix: str, column: int) -> None:
    with pytest.raises(ExpressionError) as told:
        compile_expression(text)

    assert fix in str(told.value)
    assert told.value.column == column


@pytest.mark.parametrize("text", ["min(a, key=b) or c +", "'a => b' ==", "{'a': 1"])
def test_what_is_no_slip_is_not_called_one(text: str) -> None:
    with pytest.raises(ExpressionError) as told:
        compile_expression(text)

    assert "write" not in str(told.value)
    assert "compare" not in str(told.value)


@pytest.mark.parametrize(
    ("rule", "fix"),
    [
        ("list >= 1", "write `list length >= NUMBER`"),
        ("str > 3", "write `str length > NUMBER`"),
        ("float min 0", "write `>= NUMBER`"),
        ("int max 9", "write `<= NUMBER`"),
        ("number", "write `float`"),
        ("integer", "write `int`"),
        ("string?", "write `str`"),
        ("Boolean", "write `bool`"),
        ("array", "write `list`"),
        ("object", "write `dict`"),
        ("timestamp", "write `datetime`"),
        ("int = 3", "write `==`, `<=` or `>=`"),
        ("float between 1 and 2", "write `>= LOW and <= HIGH`"),
        ("str regex a", "write `matches PATTERN`"),
        ("str enum [a]", "write `in [a, b]`"),
        ("str optional", "write `TYPE?`"),
        ("str not null", "remove it"),
    ],
)
def test_a_slip_in_a_rule_is_answered_by_how_it_is_written(rule: str, fix: str) -> None:
    with pytest.raises(RuleError) as told:
        parse_rule(rule)

    assert told.value.fix.startswith(fix)
