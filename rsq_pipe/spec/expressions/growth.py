"""Growth: what an expression's shape shows about the size of its value, before any record is seen."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TypeAlias

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
IsFresh: TypeAlias = Callable[[str], bool]

MAX_UNGUARDED = 8
"""Additions and f-string parts up to which an expression cannot grow much beyond the record."""

_TIMES = frozenset(
    (
        *("days_between", "seconds_between", "year", "month", "day", "hour", "weekday", "duration", "now"),
        *("add", "parse_date", "in_zone", "timestamp", "from_timestamp", "floor", "ceil", "sqrt"),
    )
)
QUICK = (_TIMES - {"add", "parse_date", "in_zone"}) | frozenset(
    ["len", "abs", "round", "bool", "int", "float", "coalesce", "get", "date", "datetime", "rid", "header"]
)
"""Functions that take no longer for a larger argument."""

SLOW = frozenset(["parse_date", "format_date", "in_zone", "add", "json", "to_json", "hash", "uuid"])
"""Functions that take long for any arguments."""

DATING = frozenset(["now", "date", "datetime", "parse_date", "in_zone", "add", "from_timestamp"])
"""Functions that return a date or moment."""

COMPARING = frozenset(["sorted", "min", "max", "set", "dict"])
"""Functions that compare the items of their arguments with one another."""

_NUMBERS = _TIMES | frozenset(
    ["len", "abs", "round", "bool", "int", "float", "any", "all", "startswith", "endswith", "matches"]
)
_TEXTS = frozenset(
    ["str", "lower", "upper", "title", "strip", "join", "replace", "format_date", "to_json", "hash", "uuid"]
)
_SELECTIONS = frozenset(
    ["get", "keys", "values", "items", "sorted", "list", "tuple", "set", "enumerate", "zip"]
)
_PARTS = _SELECTIONS | frozenset(
    [
        "lower",
        "upper",
        "title",
        "strip",
        "split",
        "extract",
        "extract_all",
        "coalesce",
        "enumerate",
        "min",
        "max",
        "date",
        "datetime",
    ]
)


def is_float(node: ast.expr) -> bool:
    """Return whether a value can only be a float: then no guard is needed, as nothing repeats 1.5 times."""
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Div)
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def is_number(node: ast.expr) -> bool:
    """Return whether a value can only be a number, boolean, null or time: something without a length."""
    match node:
        case ast.Constant():
            return not isinstance(node.value, str)
        case ast.Compare() | ast.UnaryOp():
            return True
        case ast.BinOp():
            # A set minus a set has a length, but cannot be added to anything.
            return isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow) or any(
                map(is_float if isinstance(node.op, ast.Mult) else is_number, (node.left, node.right))
            )
        case ast.Call(func=ast.Name(id=name)):
            return name in _NUMBERS or (name == "sum" and sums_numbers(node))
        case ast.IfExp():
            return is_number(node.body) and is_number(node.orelse)
        case ast.BoolOp():
            return all(map(is_number, node.values))
    return False


def sums_numbers(node: ast.Call) -> bool:
    """Return whether a call of sum() can only add up numbers: adding up lists needs a list as start value."""
    return len(node.args) == 1 and not node.keywords


def is_bounded(node: ast.expr) -> bool:
    """Return whether a value, with everything inside it, is bounded where it is built, or has no length."""
    match node:
        case ast.JoinedStr() | ast.BinOp(op=ast.Mult()):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name in _TEXTS
    return is_number(node) or isinstance(node, ast.Constant)


def is_part(node: ast.expr, is_fresh: IsFresh) -> bool:
    """
    Return whether a value is made of parts of the record without repetition, so is not larger than it.

    Args:
        node: The expression.
        is_fresh: Whether a name is a part that the expression visits once, rather than once for each item of
            something else.
    """
    match node:
        case ast.Name():
            return is_fresh(node.id)
        case ast.Subscript():
            return is_part(node.value, is_fresh)
        case ast.Call(func=ast.Name(id=name)) if name in _PARTS:
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            return all(is_part(argument, is_fresh) for argument in arguments)
        case ast.IfExp():
            return is_part(node.body, is_fresh) and is_part(node.orelse, is_fresh)
        case ast.BoolOp():
            return all(is_part(value, is_fresh) for value in node.values)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp():
            return _selects(node, is_fresh, is_part)
    return is_number(node) or isinstance(node, ast.Constant)


def is_little(node: ast.expr, is_fresh: IsFresh) -> bool:
    """Return whether a value is a few parts of the record next to each other: `upper(name) + ', ' + city`."""
    match node:
        case ast.BinOp(op=ast.Add()):
            return is_little(node.left, is_fresh) and is_little(node.right, is_fresh)
        case ast.BinOp(left=part, op=ast.Mult(), right=ast.Constant(value=int(count))):
            return count <= MAX_UNGUARDED and is_part(part, is_fresh)
        case ast.JoinedStr():
            parts = (part.value for part in node.values if isinstance(part, ast.FormattedValue))
            return all(is_part(part, is_fresh) for part in parts)
        case ast.Call(func=ast.Name(id="str")):
            return all(is_part(argument, is_fresh) for argument in node.args)
        case ast.ListComp() | ast.GeneratorExp() | ast.SetComp() | ast.DictComp():
            return _selects(node, is_fresh, is_little)
    return is_part(node, is_fresh)


def joins_few(tree: ast.AST) -> bool:
    """Return whether an expression joins few values, so that only its loops can build large values."""
    return sum(map(_joins, ast.walk(tree))) <= MAX_UNGUARDED


def makes_sets(tree: ast.AST) -> bool:
    """Return whether an expression makes sets."""
    return any(isinstance(node, ast.Set | ast.SetComp) or _called(node) == "set" for node in ast.walk(tree))


def is_unlike_json(tree: ast.AST) -> bool:
    """Return whether an expression may make what a record holds in another form: a date, a set, a key."""
    return makes_sets(tree) or any(map(_may_be_unlike_json, ast.walk(tree)))


def _may_be_unlike_json(node: ast.AST) -> bool:
    if isinstance(node, ast.Dict):
        texts = (
            key is None or (isinstance(key, ast.Constant) and type(key.value) is str) for key in node.keys
        )
        return not all(texts)
    return isinstance(node, ast.DictComp) or _called(node) == "dict" or _called(node) in DATING


def _called(node: ast.AST) -> str:
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""


def targets(generator: ast.comprehension) -> set[str]:
    """List the names that a loop sets."""
    return {node.id for node in ast.walk(generator.target) if isinstance(node, ast.Name)}


def _selects(node: Comprehension, is_fresh: IsFresh, is_fine: Callable[[ast.expr, IsFresh], bool]) -> bool:
    """Return whether a comprehension visits each part once: `[tag for l in lines for tag in l['tags']]`."""
    for generator in node.generators:
        if not is_part(generator.iter, is_fresh):
            return False
        is_fresh = targets(generator).__contains__
    elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    return all(is_fine(element, is_fresh) for element in elements)


def _joins(node: ast.AST) -> bool:
    return isinstance(node, ast.FormattedValue) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult)
    )
