"""Failures of expressions are told in the words of expressions."""

from __future__ import annotations

from typing import Any

import pytest

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.explanation import explained, of_syntax
from rsq_pipe.spec.expressions.expression import compile_expression

RECORD: dict[str, Any] = {
    "n": 7,
    "x": 1.5,
    "t": "ten",
    "none": None,
    "list": [1],
    "map": {"a": 1},
    "pairs": [[1, 2], [3]],
    "empty": [],
    "nothing": None,
}


_BOTH = "write datetime(a) and datetime(b), or date() for both"
_NUMBER = "write float(a) or int(a) to make a number of text"
_NULL = "'none' is null: write coalesce(none, 0), say"
_TIMES = "`*` cannot be applied to a whole number and null"
_ADD = "write add(date, '1h'), or days_between(a, b)"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / (n - 7)", "a division by zero"),
        ("n % (n - 7)", "a division by zero"),
        ("map['b']", "there is no key 'b'"),
        ("list[3]", "there is no item at that place"),
        ("x ** 100000", "a number is too large"),
        ("n < t", f"`<` cannot compare a whole number with text; {_NUMBER}"),
        ("none >= x", f"`>=` cannot compare null with a number; {_NULL}"),
        ("n + t", f"`+` cannot be applied to a whole number and text; {_NUMBER}"),
        ("t + n", f"`+` cannot be applied to text and a whole number; {_NUMBER}"),
        ("t / t", f"`/` cannot be applied to text and text; {_NUMBER}"),
        ("t * t", f"`*` cannot multiply text or a list by text; {_NUMBER}"),
        ("n * none", f"`*` cannot be applied to a whole number and null; {_NULL}"),
        ("none - 1", f"`-` cannot be applied to null and a whole number; {_NULL}"),
        ("list + t", "`+` cannot be applied to a list and text"),
        ("t * x", f"`*` cannot multiply text or a list by a number; {_NUMBER}"),
        (
            "n * none > nothing",
            f"{_TIMES}; 'none' and 'nothing' are null: write coalesce(none, 0), say",
        ),
        ("n * [none][0]", f"`*` cannot be applied to a whole number and null; {_NULL}"),
        ("n * get(map, 'z')", f"{_TIMES}; write coalesce(a, 0), say, where a may be null"),
        ("map ** 2", "`**` cannot be applied to a mapping and a whole number"),
        ("-t", "`-` cannot be applied to text"),
        ("abs(t)", "`abs` cannot be applied to text"),
        ("len(n)", "a whole number has no length"),
        ("none['a']", "null has no items or fields"),
        ("[i for i in n]", "a whole number has no items to go through"),
        ("sum(none)", "null has no items to go through"),
        ("1 in n", "`in` cannot look into a whole number"),
        ("list['a']", "a list is indexed by a whole number, not by text"),
        ("t['a']", "text is indexed by a whole number, not by text"),
        ("{list}", "a list cannot be a key or an item of a set"),
        ("int(none)", "null is not a number"),
        ("float(list)", "a list is not a number"),
        ("int(t)", "'ten' is not a whole number"),
        ("float(t)", "'ten' is not a number"),
        ("lower(none)", "lower() takes text, not null"),
        ("startswith(t, n)", "startswith() takes text, not a whole number"),
        ("f'{none:.2f}'", "null cannot be written in such a format"),
        ("f'{t:d}'", "text cannot be written in format 'd'"),
        ("round(t)", "`round` cannot be applied to text"),
        ("range(x)", "a number is not a whole number"),
        ("date(t)", "'ten' is not a date (YYYY-MM-DD) or moment (YYYY-MM-DDTHH:MM:SS)"),
        ("year(n)", "a whole number is not a date or moment"),
        ("zip(list, empty)", "zip() takes lists of one length"),
        ("max(empty)", "max() was given no items"),
        ("[a for a, b in pairs]", "an item has fewer parts than there are names"),
        ("[a for a, b in list]", "a whole number cannot be unpacked into several names"),
        ("sqrt(0 - n)", "sqrt() takes no negative number, such as -7"),
        ("floor(t)", "text is not a number"),
        ("json(t)", "'ten' is not JSON: it ends too early"),
        (
            "json('\"\\\\ud800\"')",
            "'\"\\\\ud800\"' is not JSON: it holds half a surrogate pair, which is not text",
        ),
        ("json(none)", "json() takes text, not null"),
        ("parse_date(n, '%Y')", "parse_date() takes text, not a whole number"),
        ("parse_date(t, '%Y')", "'ten' is not a date of the format '%Y'"),
        ("format_date(n, '%Y')", "a whole number is not a date or moment"),
        ("add(list, '1h')", "a list is not a date or moment"),
        ("{**t}", "`**` takes a mapping, not text"),
        ("now() + 1", "`+` cannot be applied to a moment and a whole number; " + _ADD),
        ("hash(t, t)", "there is no algorithm 'ten'; use md5, sha1, sha256, sha512 or blake2b"),
        ("now() > t", "`>` cannot compare a moment with text; " + _BOTH),
        ("t < date('2026-01-01')", "`<` cannot compare text with a date; " + _BOTH),
        ("values(list)", "values() takes a mapping, not a list"),
        ("items(t)", "items() takes a mapping, not text"),
        ("join(list, t)", "join() takes text, not a list"),
        (
            "[[a for b in list for a in a] for a in list]",
            "a loop reads its own variable before it is set",
        ),
        ("split(t, '')", "split() takes no empty separator"),
    ],
)
def test_a_failure_is_told_without_the_interpreters_words(text: str, why: str) -> None:
    with pytest.raises(Exception) as raised:
        compile_expression(text).evaluate(RECORD)

    assert explained(raised.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("len(n t)", "a comma or an operator is missing at column"),
        ("n +", "it ends too early at column 4"),
        ("(n", "'(' was never closed at column 1"),
        ("'n", "unterminated string literal at column 1"),
    ],
)
def test_a_text_that_is_no_expression_is_told_without_the_interpreters_words(text: str, why: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)

    assert f"not an expression: {why}" in str(raised.value)


@pytest.mark.parametrize("of", ["", "octal "])
def test_an_invalid_escape_is_told_in_the_same_words_on_all_versions_of_python(of: str) -> None:
    since_3_14 = (
        f'"\\7" is an invalid {of}escape sequence. Did you mean "\\\\7"? A raw string is also an option.'
    )

    assert of_syntax(since_3_14) == of_syntax(f"invalid {of}escape sequence '\\7'")


@pytest.mark.parametrize("text", ["date(t)", "float(t)", "int(t)", "record[t]"])
def test_an_explanation_is_short_whatever_the_record_holds(text: str) -> None:
    with pytest.raises(Exception) as raised:
        compile_expression(text).evaluate({"t": "t" * 1_000_000})

    assert len(explained(raised.value)) <= 503
