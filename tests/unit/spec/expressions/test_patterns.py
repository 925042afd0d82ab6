"""Regular expressions in expressions: checked before any record is seen, and bounded in time."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.explanation import explained
from rsq_pipe.spec.expressions.expression import compile_expression

RECORD: dict[str, Any] = {
    "t": "order 12-ab, 7-cd",
    "u": "żółć 1 é2",
    "tags": ["a1", "b22", "c"],
    "n": 3,
    "none": None,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("matches(t, 'order .*')", True),
        ("matches(t, 'order')", False),
        ("matches(pattern='.*cd', text=t)", True),
        ("extract(t, '[0-9]+')", "12"),
        ("extract(t, '([0-9]+)-([a-z]+)')", "12"),
        ("extract(t, '([0-9]+)-([a-z]+)', 2) + extract(t, '([0-9]+)-([a-z]+)', 0)", "ab12-ab"),
        ("extract(t, '(?P<num>[0-9]+)-(?P<name>[a-z]+)', 'name')", "ab"),
        ("extract(t, 'x(.)')", None),
        ("extract(t, '(x)?order')", None),
        ("extract_all(t, '[0-9]+-([a-z])')", ["a", "c"]),
        ("extract_all(u, '[^ ]')", ["ż", "ó", "ł", "ć", "1", "é", "2"]),
        ("replace_matches(t, '([0-9]+)-([a-z]+)', '\\\\2:\\\\1')", "order ab:12, cd:7"),
        ("replace_matches('a-b', '-', '\\\\\\\\1')", r"a\1b"),
        ("replace_matches('żó', '', '-')", "-ż-ó-"),
        ("[extract(tag, '[0-9]+') for tag in tags if matches(tag, '.[0-9]+')]", ["1", "22"]),
    ],
)
def test_a_pattern_does_what_its_function_says(text: str, value: object) -> None:
    assert compile_expression(text).evaluate(RECORD) == value


@pytest.mark.parametrize(
    ("text", "words", "column"),
    [
        ("matches(t, '(a')", "the pattern is wrong, missing ): (a", 12),
        ("matches(t, '(?=a)b')", "do without lookaround and backreferences", 12),
        (r"1 + len(extract(t, '(a)\\1'))", "do without lookaround and backreferences", 20),
        ("extract(t, '((([ab]*)a){0,30}b){0,30}')", "repeats too much", 12),
        ("extract(t, n)", "the pattern of extract() is not written out", 12),
        ("extract(t, 5)", "a pattern is text, not 5", 12),
        ("extract(t)", "write extract(text, pattern[, group])", 1),
    ],
)
def test_a_wrong_pattern_is_told_before_any_record_is_seen(text: str, words: str, column: int) -> None:
    with pytest.raises(ExpressionError) as raised:
        compile_expression(text)

    assert words in str(raised.value)
    assert raised.value.column == column


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("extract(none, 'a')", "extract() takes text, not null"),
        ("extract(t, 'a', 3)", "the pattern has no group 3"),
        ("extract(t, '(a)', 'x')", "the pattern has no group 'x'"),
        ("replace_matches(t, 'a', n)", "replace_matches() takes text, not a whole number"),
        ("replace_matches(t, 'a', '\\\\3')", "the pattern has no group 3"),
        ("matches(half, 'a')", "the text holds half of a surrogate pair"),
    ],
)
def test_what_fails_for_a_record_is_told_in_plain_words(text: str, why: str) -> None:
    with pytest.raises((ValueError, TypeError)) as raised:
        compile_expression(text).evaluate({**RECORD, "half": "\ud800"})

    assert explained(raised.value) == why


def test_an_expression_with_a_pattern_survives_pickling() -> None:
    expression = pickle.loads(pickle.dumps(compile_expression("extract(t, '[0-9]+')")))

    assert expression.evaluate(RECORD) == "12"


def test_the_library_is_loaded_only_where_a_pattern_is_compiled() -> None:
    program = (
        "import sys; from rsq_pipe.spec.expressions.expression import compile_expression as c; c('len(t)'); "
    )
    program += "assert 're2' not in sys.modules; c(\"matches(t, 'a')\"); assert 're2' in sys.modules"

    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
