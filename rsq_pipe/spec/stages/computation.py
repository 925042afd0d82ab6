"""Computation: one function over the records of a group, with its argument expressions."""

from __future__ import annotations

import ast
import re

from msgspec import Struct

from rsq_pipe.errors import ExpressionError
from rsq_pipe.model.aggregates import AGGREGATES
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.spec.expressions.functions import FUNCTIONS
from rsq_pipe.spec.expressions.syntax import parse
from rsq_pipe.suggestion import suggest

# Other names for these.
_OTHERS = {
    "average": "avg",
    "mean": "avg",
    "total": "sum",
    "len": "count",
    "minimum": "min",
    "maximum": "max",
    "percentile": "quantile",
    "approx_quantile": "quantile",
    "distinct": "count_distinct",
    "nunique": "count_distinct",
    "approx_count_distinct": "count_distinct",
    "std": "stddev",
    "stdev": "stddev",
    "stddev_samp": "stddev",
    "var": "variance",
    "var_samp": "variance",
    "bool_or": "any",
    "bool_and": "all",
}
_FIXES = {
    **dict.fromkeys(
        ("count_if", "countif", "sum_if", "sumif"), "write sum(condition), such as sum(delay > 15)"
    ),
    **dict.fromkeys(
        ("list", "collect", "collect_list", "array_agg", "string_agg", "group_concat"),
        "none collects values; use first(x), last(x) or count_distinct(x)",
    ),
    **dict.fromkeys(
        ("top", "topk", "top_k", "top_n", "mode", "most_common", "rank"),
        "none ranks; count each value, `by: x`, and rank what the sink has written",
    ),
}
"""Functions of other tools that have no other name here -> what to write."""

_PERCENTILE = re.compile(r"p(\d\d)")
_ONE = "write one function for each field, such as sum(x), and put them together in a map stage below"


class Computation(Struct, frozen=True):
    """
    Describe one field of a result.

    Args:
        text: As written: `avg(dep_delay)`.
        function: Its name in AGGREGATES.
        argument: Its argument for each record; None for the record itself.
        share: The second argument of `quantile`.
    """

    text: str
    function: str
    argument: Expression | None = None
    share: float | None = None


def parse_computation(text: str) -> Computation:
    """
    Parse a computation.

    Raises:
        ExpressionError: It is not one; with the column.
    """
    line = text.replace("\n", " ")
    indent = len(line) - len(line.lstrip())
    if found := re.fullmatch(r"\s*count\(\s*(\*|distinct\s+(.*?))\s*\)\s*", line, re.IGNORECASE):
        fix = f"count_distinct({found[2]})" if found[2] else "count()"
        raise ExpressionError(f"{text.strip()} is SQL; write {fix}", column=indent + 1)
    try:
        call = ast.parse(line.strip(), "<computation>", "eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        compile_expression(text)  # raises the error
        raise ExpressionError(f"not an expression; {_ONE}") from None
    _check_form(call)
    assert isinstance(call, ast.Call)
    assert isinstance(call.func, ast.Name)
    name = call.func.id
    if name not in AGGREGATES:
        if name in FUNCTIONS and any(map(_calls, ast.walk(call))):
            raise ExpressionError(f"it is more than one function of the records; {_ONE}")
        fix = _fix(name)
        raise ExpressionError(
            f"there is no function {name!r} over the records of a group, at column {indent + 1}; {fix}",
            column=indent + 1,
        )
    _check_arguments(call, name)
    argument = _argument(call.args[0], line, indent) if call.args else None
    return Computation(text.strip(), name, argument, _share(call, name))


def counts_condition(computation: Computation) -> bool:
    """Return whether it is `count` of a condition, which counts records for which that is false, too."""
    if computation.function != "count" or computation.argument is None:
        return False
    body = parse(computation.argument.text).body
    return isinstance(body, ast.Compare | ast.BoolOp) or (
        isinstance(body, ast.UnaryOp) and isinstance(body.op, ast.Not)
    )


def _fix(name: str) -> str:
    if found := _PERCENTILE.fullmatch(name):
        return f"write quantile(x, 0.{found[1]})"
    return _FIXES.get(name) or suggest(_OTHERS.get(name, name), AGGREGATES)


def _calls(node: ast.AST) -> bool:
    """Return whether a part of an expression calls a function over the records."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in AGGREGATES


def _check_form(call: ast.expr) -> None:
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
        return
    if any(map(_calls, ast.walk(call))):
        raise ExpressionError(f"it is more than one function of the records; {_ONE}")
    raise ExpressionError("it has a value for each record, not one for all of a group; " + _wrapped(call))


def _wrapped(call: ast.expr) -> str:
    name = call.id if isinstance(call, ast.Name) else "..."
    if function := AGGREGATES.get(name):
        return "write " + function.takes.replace("), ", ") or ")
    return f"write max({name}), first({name}), or put it into `by`"


def _check_arguments(call: ast.Call, name: str) -> None:
    function = AGGREGATES[name]
    if call.keywords:
        raise ExpressionError(f"{name}() takes no named values; write {function.takes}")
    if not function.least <= len(call.args) <= function.most:
        given = ("nothing", "one value")[len(call.args)] if len(call.args) < 2 else f"{len(call.args)} values"
        raise ExpressionError(f"{name}() is given {given}; write {function.takes}")
    for argument in call.args:
        if isinstance(argument, ast.Starred):
            raise ExpressionError(f"`*` before a value is not allowed; write {function.takes}")
        if isinstance(argument, ast.GeneratorExp):
            fix = f"write {name}(sum(...)), {name}(max(...))"
            raise ExpressionError(f"{name}() takes one value of each record, not a list of them; {fix}")


def _argument(node: ast.expr, line: str, indent: int) -> Expression:
    source = line.strip()
    begin = len(source.encode()[: node.col_offset].decode())
    text = ast.get_source_segment(source, node) or ""
    # The leading space makes columns in messages match the whole text.
    return compile_expression(" " * (indent + begin) + text)


def _share(call: ast.Call, name: str) -> float | None:
    if len(call.args) < 2:
        return None
    node = call.args[1]
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"the second value of {name}() is a number from 0 to 1; write {name}(x, 0.95)")
    if not 0 <= value <= 1:
        near = value / 100 if 1 < value <= 100 else 0.95
        raise ExpressionError(
            f"the second value of {name}() is a share from 0 to 1, not {value}; write {near:g}"
        )
    return float(value)
