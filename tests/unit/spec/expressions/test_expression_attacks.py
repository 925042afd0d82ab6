"""Attacks on expressions: nothing gets out, and nothing grows without bounds."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import thread_time
from typing import Any

import pytest
from evalidate import security

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.bounds import MAX_ITEMS, TooLargeError
from rsq_pipe.spec.expressions.expression import compile_expression
from rsq_pipe.spec.expressions.functions import FUNCTIONS

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
    "len(**record)",
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
    "width % 1.0",
    "width % (a / b)",
    "raw * big",
    "big * raw",
    "+".join(["long"] * 150),
    "+".join(["text"] * 10) + " + long + long",
    "*".join(["wide"] * 150),
    "[" + "*".join(["x"] * 150) + " for x in [wide]]",
    "big ** 300 * big ** 300",
    "[0] * 600000 + [0] * 600000",
    "f'" + "{long}" * 150 + "'",
    "f'{[long] * 1000000}'",
    "f'{[x for x in [long, long]]}'",
    "str([long] * 1000000)",
    "[[long] * 1000]",
    "[long for x in range(1000000)]",
    "[long + text for x in range(1000000)]",
    "[f'{long}' for x in range(1000000)]",
    "[upper(long) for x in range(1000000)]",
    "[long[1:] for x in range(1000000)]",
    "{x: long for x in range(100)}",
    "[record] * 1000",
    "[[0] * 1000] * 1000 * 1000",
    "join('', [[long] * 1000] * 1000)",
    "join(long, [long, long, long])",
    "sum([numbers for x in range(1000000)], [])",
    "[y + y for x in range(1000) for y in [long]]",
    "len([x + x for x in [y + y for y in [z + z for z in [long]]]])",
    "[long for n in numbers]",
    "[[long] for n in numbers]",
    "[n + long for n in [text] * 100]",
    "[f'{n}{long}' for n in numbers]",
    "[wide ** 10 for x in numbers for y in range(100)]",
    "[x * 8 for x in [x * 8 for x in [x * 8 for x in [x * 8 for x in [text * 90000]]]]]",
    "float(digits)",
    "int(digits)",
    "len(set(alike))",
    "len({n for n in alike})",
    "len({n: 1 for n in alike})",
    "len(dict([(n, 1) for n in alike]))",
    "len(enumerate(long))",
    "len(list(long))",
    "len(split(long, 'a'))",
    "json('[' + join(',', [0] * 900000) + ']') + [0] * 500000",
    "to_json([long, long])",
    "hash([long, long])",
    "uuid([long, long])",
    "{**record, 'a': [long] * 100}",
    "parse_date(long, '%Y')",
    "format_date('2026-01-01', long)",
    "add('2026-01-01', long)",
    "duration(long)",
    "from_timestamp(big * big)",
    "sqrt(long)",
    "month(digits)",
    "replace_matches(long, 'a', text * 1000)",
    "replace_matches(text * 100000, '', text * 100)",
    "len(extract_all(long, ''))",
]
LASTING = [
    "len([x for n in numbers for x in range(1000)])",
    "[[n, m] for n in numbers for m in record['numbers']]",
    "[len([m for m in record['numbers']]) for n in numbers]",
    "[len([n for m in numbers]) for n in numbers]",
    "[x for x in numbers for y in numbers]",
    "len([x for x in range(1000000) for y in range(1000000)])",
    "sum(sum(y for y in numbers) for x in numbers)",
    "sum(sum(numbers) for x in numbers)",
    "[x for x in numbers if -x in numbers]",
    "[x for x in numbers if x not in [-y for y in numbers]]",
    "[len(sorted(numbers)) for x in numbers]",
    "[min(numbers) for x in numbers]",
    "any(0 in numbers for x in numbers)",
    "[n for n in numbers if long == same]",
    "[n for n in numbers if 'x' != long < same]",
    "[max(long, same) for n in numbers]",
    "[len(str(record)) for x in numbers]",
    "[len(split(long, 'b')) for x in numbers]",
    "sum(len([0 for y in record['numbers']]) for x in range(1000000))",
    "[startswith(long, long) for x in numbers]",
    "sum([len(list(numbers)) for x in numbers])",
    "[f'{deep}' for x in numbers]",
    "[len(set(few_alike)) for x in numbers]",
    "[len({n for n in few_alike}) for x in numbers]",
    "[hash(record) for x in numbers]",
    "[hash(long, 'md5') for x in numbers]",
    "[uuid(long) for x in numbers]",
    "[to_json(numbers) for x in numbers]",
    "[len(json(listing)) for x in numbers]",
    "[title(long) for x in numbers]",
    "[hash(deep) for x in range(1000000)]",
    "[len({**mapping}) for x in numbers]",
    "sorted([same for p in numbers])",
    "max(x for p in numbers for x in [long, same])",
    "len({x for p in numbers for x in [long, same]})",
    "len({x: 1 for p in numbers for x in [long, same]})",
    "len(set([x for p in numbers for x in [long, same]]))",
    "len(dict([(x, 1) for p in numbers for x in [long, same]]))",
    "[min([long, same]) for x in numbers]",
    "[1 for n in numbers if same in [long]]",
    "[1 for n in numbers if same in {long: 1}]",
    "[1 for n in numbers if [same] == [long]]",
    "[1 for n in numbers if [[same]] < [[long]]]",
    "[matches(long, 'a*b') for x in numbers]",
    "len(extract_all(long, 'a.*b|a'))",
    "extract(long, '([ab]*)a([ab]{400})x')",
    "matches(long, '((([ab]*)a){0,20}b){0,20}x')",
    "[extract('a', '[a-z]') for x in range(1000000)]",
    "[y for x in range(1000000) for y in extract_all('a b c', '[a-z]')]",
    "[format_date('2026-01-01', '%Y') for x in range(1000000)]",
    "[parse_date('2026-01-01', '%Y-%m-%d') for x in range(1000000)]",
    "[add('2026-01-01', x) for x in range(1000000)]",
    "[uuid(x) for x in range(1000000)]",
]
HOSTILE: dict[str, Any] = {"a": 9, "b": 99, "c": 9, "text": "aaaa", "big": 10**12, "width": "%999999999d"}
HOSTILE |= {
    "raw": b"raw",
    "long": "a" * 10_000_000,
    "wide": 10**100,
    "digits": "1" * 100_000,
    "numbers": [*range(1, 100_001)],
}
HOSTILE |= {"same": "a" * 10_000_000}
# JSON has whole numbers of any length, and Python hashes all of these to 0.
HOSTILE |= {
    "alike": [n * (2**61 - 1) for n in range(100_000)],
    "few_alike": [n * (2**61 - 1) for n in range(900)],
}
HOSTILE |= {"listing": json.dumps([0] * 10_000), "mapping": {f"k{n}": n for n in range(10_000)}}
HOSTILE |= {"deep": json.loads("[" * 900 + "]" * 900)}


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


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where what is done in it takes a processor longer, however long it has to wait for one."""
    began = thread_time()
    yield
    assert thread_time() - began < seconds


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", RUNNING_BOMBS)
def test_a_bomb_in_a_record_does_not_go_off(text: str) -> None:
    expression = compile_expression(text)

    with within(10), pytest.raises((TooLargeError, TypeError, ValueError, OverflowError)):
        expression.evaluate(HOSTILE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", LASTING)
def test_a_record_does_not_keep_a_loop_busy(text: str) -> None:
    expression = compile_expression(text)

    with within(20), pytest.raises(TooLargeError):
        expression.evaluate(HOSTILE)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("text", ["[numbers * 0 for x in numbers]", "[-1 * numbers for x in numbers]"])
def test_to_repeat_a_list_not_once_takes_no_time(text: str) -> None:
    with within(10):
        assert compile_expression(text).evaluate(HOSTILE) == [[]] * 100_000


def test_sets_and_mappings_take_texts_and_a_few_thousand_numbers() -> None:
    record = {"ids": list(range(5_000)), "names": [f"n{number}" for number in range(100_000)]}

    for text, count in {
        "len(set(ids))": 5_000,
        "len({n % 10 for n in ids})": 10,
        "len(set(names))": 100_000,
        "len({n: 1 for n in names})": 100_000,
        "len(dict(record))": 2,
        "sum(len({n for n in [x, x + 1]}) for x in ids)": 10_000,
    }.items():
        assert compile_expression(text).evaluate(record) == count


@pytest.mark.timeout(120)
def test_lists_are_added_up_in_linear_time() -> None:
    lists = [[number] for number in range(200_000)]

    with within(10):
        assert compile_expression("len(sum(lists, []))").evaluate({"lists": lists}) == 200_000


def test_a_record_larger_than_what_is_built_is_passed_on() -> None:
    record = {"long": "a" * 20_000_000, "lines": [{"n": 1}]}

    assert compile_expression("long").evaluate(record) is record["long"]
    assert compile_expression("[l for l in lines if len(long) > 0]").evaluate(record) == record["lines"]
    assert len(compile_expression("long + '!'").evaluate(record)) == 20_000_001


def test_the_work_of_loops_is_counted_for_each_record_anew() -> None:
    expression = compile_expression("len([x for x in range(1000) for y in range(1000)])")

    assert [expression.evaluate({}) for _ in range(5)] == [1_000_000] * 5


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
