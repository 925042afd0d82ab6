"""Attacks on expressions: nothing gets out, and nothing grows without bounds."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from evalidate import security

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expression import compile_expression
from rsq_pipe.spec.functions import FUNCTIONS, MAX_ITEMS, TooLargeError

ESCAPES = [
    "().__class__.__bases__[0].__subclasses__()",
    "record.__class__",
    "''.join(['a'])",
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in ()].append(1)",
    "__import__('os')",
    "__builtins__",
    "__record",
    "__call_len(x)",
    "[__x for __x in a]",
    "__missing(1, 2)",
    "eval('1')",
    "open('/etc/passwd')",
    "getattr(record, 'clear')",
    "globals()",
    "type(record)",
    "vars()",
    "print(1)",
    "isinstance(1, 2)",
    "functions[0]()",
    "len(x)(1)",
    "(len)(x)(1)",
    "[len][0](x)",
    "f'{record.__class__}'",
    "f'{x!r:{width}}'",
    "f'{x:999999999}'",
    "f'{x:.999999999f}'",
    "'{0.__class__}'.format(record)",
    "(a := 1)",
    "[a := 1, a]",
    "len(*x)",
    "[*x]",
    "{**record}",
    "dict(**record)",
    "await x",
    "(yield)",
    "[0 for record['a'] in [1]]",
    "[0 for x.y in [1]]",
    "[0 for record in [1]]",
    "[0 for *a, b in [1]]",
    "b'bytes'",
    "1j",
    "...",
    "a @ b",
    "a << 10**9",
    "~a",
    "a; b",
    "import os",
    "a\nb",
    "x[" * 300,
    "-" * 3000 + "1",
    "not " * 900 + "1",
    "+".join(["1"] * 1900),
    "1+" * 5000 + "1",
]
STATIC_BOMBS = [
    "9 ** 9 ** 9",
    "10 ** 10 ** 10",
    "'a' * 10 ** 9",
    "10 ** 9 * 'ab'",
    "'%999999999d' % 1",
    "2 ** 4097",
]
RUNNING_BOMBS = [
    "a ** b ** c",
    "(-9) ** (9 ** 9)",
    "text * big",
    "big * text",
    "[0] * big",
    "(0, 1) * big",
    "[x * big for x in [text]]",
    "range(big)",
    "range(0, 10 ** 30)",
    "list(range(0, -big, -1))",
    "round(1, -big)",
    "replace(text * 100000, 'a', text * 1000)",
    "join(text * 1000, range(1000000))",
    "width % big",
]
HOSTILE: dict[str, Any] = {"a": 9, "b": 99, "c": 9, "text": "aaaa", "big": 10**12, "width": "%999999999d"}


@pytest.mark.parametrize("text", ["-" * 300 + "a", "+".join("a" * 300), "not " * 300 + "a"])
def test_deep_nesting_is_refused_whatever_pythons_recursion_limit_is(text: str) -> None:
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # as mypy does to every process that uses its API
    try:
        with pytest.raises(ExpressionError, match="nested"):
            compile_expression(text)
    finally:
        sys.setrecursionlimit(usual)


def test_a_long_sum_of_fields_is_no_deep_nesting() -> None:
    names = [f"f{number}" for number in range(150)]

    assert compile_expression("+".join(names)).evaluate(dict.fromkeys(names, 1)) == 150


@pytest.mark.parametrize("text", ESCAPES)
def test_an_escape_does_not_compile(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text)


@pytest.mark.parametrize(
    "text", [*security.simple_attacks, *(security.boom.format(payload=p) for p in security.boom_payload)]
)
def test_the_attacks_known_to_evalidate_do_not_compile(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text.strip())


@pytest.mark.parametrize("text", STATIC_BOMBS)
def test_a_bomb_of_constants_does_not_compile(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("text", RUNNING_BOMBS)
def test_a_bomb_in_a_record_does_not_go_off(text: str) -> None:
    expression = compile_expression(text)

    with pytest.raises((TooLargeError, TypeError)):
        expression.evaluate(HOSTILE)


def test_what_stays_within_bounds_is_let_through() -> None:
    expression = compile_expression("[len('a' * a), len([0] * 1000), 2 ** 4000 > 0, len(range(1000000))]")

    assert expression.evaluate({"a": MAX_ITEMS}) == [MAX_ITEMS, 1000, True, MAX_ITEMS]


def test_expressions_have_no_builtins() -> None:
    scope = compile_expression("1").evaluate.__globals__

    assert scope["__builtins__"] == {}
    assert {name for name in scope if not name.startswith("__")} == {"evaluate"}


def test_expressions_share_no_state() -> None:
    first, second = compile_expression("a"), compile_expression("a")

    assert first.evaluate.__globals__ is not second.evaluate.__globals__


def test_a_function_of_the_interpreter_is_not_among_ours() -> None:
    dangerous = {
        "eval",
        "exec",
        "open",
        "getattr",
        "setattr",
        "type",
        "vars",
        "globals",
        "locals",
        "dir",
        "format",
        "map",
    }

    assert not dangerous & FUNCTIONS.keys()
