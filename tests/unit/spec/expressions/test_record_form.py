"""Record form: what an expression's value is in the record that goes on, the same in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.expression import compile_expression

RECORD: dict[str, Any] = {"day": "2024-01-31", "at": "2024-01-31T10:00:00Z", "n": 3, "tags": ["b", "a", "b"]}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("f'{date(day)}|{datetime(at)}'", "2024-01-31|2024-01-31T10:00:00Z"),
        ("f'{date(day):>12}|{datetime(at)!s}'", "  2024-01-31|2024-01-31T10:00:00Z"),
        ("f'{datetime(at):%d.%m.%Y %H:%M} {n:.1f} {n:>3}'", "31.01.2024 10:00 3.0   3"),
        ("f'{n:.0%} {date(day)}'", "300% 2024-01-31"),
        ("f'{[date(day)]}'", "['2024-01-31']"),
        ("str([date(day), datetime(at)])", "['2024-01-31', '2024-01-31T10:00:00Z']"),
        ("join('/', [date(day), n])", "2024-01-31/3"),
        ("format_date('0099-01-02', '%Y-%m-%d %G')", "0099-01-02 0099"),
        ("format_date('0099-01-02', '%%Y %d')", "%Y 02"),
    ],
)
def test_a_date_is_written_the_same_everywhere(text: str, value: object) -> None:
    assert compile_expression(text).evaluate(RECORD) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("set(tags)", ["a", "b"]),
        ("{t for t in tags}", ["a", "b"]),
        ("{'all': {'x', n}}", {"all": [3, "x"]}),
        ("list(set(tags))", ["a", "b"]),
        ("join(',', set(tags))", "a,b"),
        ("[t for t in set(tags)]", ["a", "b"]),
        ("[t for s in [set(tags)] for t in s]", ["a", "b"]),
        ("to_json(set(tags))", '["a","b"]'),
        ("str(set(tags))", "['a', 'b']"),
        ("f'{set(tags)}'", "['a', 'b']"),
        ("enumerate(set(tags))", [(0, "a"), (1, "b")]),
        ("len(set(tags))", 2),
        ("'a' in set(tags)", True),
        ("set(tags) == {'a', 'b'}", True),
    ],
)
def test_a_set_is_a_list_in_ascending_order(text: str, value: object) -> None:
    assert compile_expression(text).evaluate(RECORD) == value


def test_a_set_has_one_order_in_all_processes() -> None:
    code = (
        "from rsq_pipe.spec.expressions.expression import compile_expression as c\n"
        "names = [f'name {n}' for n in range(50)]\n"
        "for text in ('set(names)', 'list(set(names))', '[n for n in set(names)]', 'to_json(set(names))'):\n"
        "    print(c(text).evaluate({'names': names}))\n"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{n: 1}", {"3": 1}),
        ("{n / 2: 1}", {"1.5": 1}),
        ("{1e308: 1}", {"1e308": 1}),
        ("{date(day): 1}", {"2024-01-31": 1}),
        ("{k: {k: 0} for k in [1]}", {"1": {"1": 0}}),
        ("dict([[n, 1]])", {"3": 1}),
        ("[{n: 1}]", [{"3": 1}]),
        ("{n: 'c'}[3]", "c"),
    ],
)
def test_a_key_is_text_in_the_record(text: str, value: object) -> None:
    assert compile_expression(text).evaluate(RECORD) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{n: 1, '3': 2}", "two keys have the name '3' in a record"),
        ("dict([[n, 1], ['3', 2]])", "two keys have the name '3' in a record"),
        ("{(n, 1): 2}", "a field cannot be named by a list; write str(key)"),
        ("{n == 3: 2}", "a field cannot be named by a truth value; write str(key)"),
        ("{None: 2}", "a field cannot be named by null; write str(key)"),
        ("{float('nan'): 2}", "a field cannot be named by a number that is not finite; write str(key)"),
    ],
)
def test_a_key_that_cannot_be_a_name_is_an_error_of_the_record(text: str, why: str) -> None:
    expression = compile_expression(text)
    with pytest.raises((TypeError, ValueError)) as caught:
        expression.evaluate(RECORD)
    assert expression.why(caught.value) == why


def test_a_power_that_is_no_real_number_is_an_error_of_the_record() -> None:
    expression = compile_expression("(n - 4) ** 0.5")
    with pytest.raises(ArithmeticError, match=r"takes no negative number, such as -1, to the power of 0\.5"):
        expression.evaluate(RECORD)
    assert compile_expression("n ** 0.5").evaluate({"n": 4}) == 2.0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("date(day) == '2024-01-31'", "a date or moment is never equal to text"),
        ("'2024-01-31' != date(day)", "a date or moment is never equal to text"),
        ("now() > '2024-01-31'", "a date or moment cannot be compared with text"),
        ("date(day) in ['2024-01-31', '2024-02-01']", "a date or moment is never equal to text"),
        ("date(day) == datetime(at)", "a date is never equal to a moment"),
        ("now() < date(at)", "a date cannot be compared with a moment"),
    ],
)
def test_a_comparison_of_a_date_with_something_else_is_refused(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", ["str(date(day)) == '2024-01-31'", "date(day) == date('2024-01-31')", "n == '3'"]
)
def test_a_comparison_of_like_with_like_is_not_refused(text: str) -> None:
    compile_expression(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "[date(day), datetime(at)][0] < datetime(at)",
            "; write datetime",  # what it cannot compare is told in the words of the Python version
        ),
        ("n in day", "`in` looks for text in a text, not for a whole number"),
        ("from_timestamp(day)", "text is not a number"),
        ("add(day, None)", "takes a duration"),
        ("dict(tags)", "dict() takes pairs"),
        ("duration('-' + '-1h')", "is not a duration"),
    ],
)
def test_a_failure_is_told_in_the_words_of_expressions(text: str, why: str) -> None:
    expression = compile_expression(text)
    with pytest.raises(Exception) as caught:
        expression.evaluate(RECORD)
    assert why in expression.why(caught.value)


@pytest.mark.parametrize(
    "text", ["str(day, 'utf-8')", "int(n, 10, 10)", "bool(n, n)", "max()", "min(default=1)"]
)
def test_a_call_with_wrong_arguments_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="the arguments of"):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", ["int(day[:4], 16)", "max(n, 2, 5)", "max([], default=0)", "bool()", "bool(n)"]
)
def test_a_call_with_right_arguments_is_not_refused(text: str) -> None:
    compile_expression(text).evaluate(RECORD)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("replace(day, n, '')", "the function takes text, not a whole number"),
        ("replace(day, '-', [])", "takes text, not a list"),
        ("split(day, n)", "the function takes text, not a whole number"),
        ("strip(day, n)", "strip() takes the characters as text"),
        ("sum(tags, '')", "sum() adds up numbers; write join('', items) for text"),
        ("int(n, 16)", "int() takes a base for text only"),
        ("format_date(day, None if n else '%Y')", "a format is text, such as '%Y-%m-%d', and not null"),
    ],
)
def test_a_wrong_argument_is_told_in_the_words_of_expressions(text: str, why: str) -> None:
    expression = compile_expression(text)
    with pytest.raises(Exception) as caught:
        expression.evaluate(RECORD)
    assert why in expression.why(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_an_empty_expression_is_said_to_be_empty(text: str) -> None:
    with pytest.raises(ExpressionError, match="not an expression: it is empty; write one"):
        compile_expression(text)
