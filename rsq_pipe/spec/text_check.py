"""Text check: find where an expression uses a field that holds text like a number."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping

from msgspec import Struct

from rsq_pipe.spec.expressions.grammar import WHOLE_RECORD
from rsq_pipe.spec.expressions.syntax import parse

_NUMERIC = (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow)
_ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_NUMBERS = ("int", "float")
_OF_NUMBERS = frozenset(("sum", "avg", "variance", "stddev", "quantile", "median"))
_OF_ANY_ORDER = frozenset(("min", "max"))


class TextUse(Struct, frozen=True):
    """
    Hold one place where text is used like a number.

    Args:
        name: The field.
        at: Where in the expression it stands, from 0.
        why: What comes of it: `so it never equals 5`.
    """

    name: str
    at: int
    why: str


def text_uses(expression: str, text: Mapping[str, str]) -> Iterator[TextUse]:
    """
    Find where an expression uses text like a number.

    Args:
        expression: As written.
        text: The fields that hold text -> the type that they look like, or empty.
    """
    tree = parse(expression).body
    own = {
        node.id
        for loop in ast.walk(tree)
        if isinstance(loop, ast.comprehension)
        for node in ast.walk(loop.target)
        if isinstance(node, ast.Name)
    }
    known = {name: like for name, like in text.items() if name not in own}
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
                    yield from _compared(left, operator, right, known)
            case ast.BinOp():
                yield from _computed(node, known)


def text_in_function(function: str, argument: str, text: Mapping[str, str]) -> Iterator[TextUse]:
    """Find whether a function over the records of a group takes text for numbers."""
    field = _field(parse(argument).body, text)
    if field is None:
        return
    name, at = field
    if function in _OF_NUMBERS:
        yield TextUse(name, at, f"and {function}() takes numbers")
    elif function in _OF_ANY_ORDER and text[name] in _NUMBERS:
        yield TextUse(name, at, f"so {function}() compares it as text: '9' is more than '10'")


def _field(node: ast.AST, text: Collection[str]) -> tuple[str, int] | None:
    """Name the field of text that a part of an expression is, and its place; None if it is another thing."""
    match node:
        case ast.Name(id=name) if name in text:
            return name, node.col_offset
        case ast.Subscript(value=ast.Name(id=of), slice=ast.Constant(value=str(name))) if of == WHOLE_RECORD:
            return (name, node.slice.col_offset) if name in text else None
    return None


def _number(node: ast.AST) -> str:
    """Spell a number that is written in an expression; empty if a part of it is another thing."""
    if isinstance(node, ast.UnaryOp):
        inner = _number(node.operand)
        return f"-{inner}" if inner and isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return str(node.value)
    return ""


def _compared(
    left: ast.expr, operator: ast.cmpop, right: ast.expr, text: Mapping[str, str]
) -> Iterator[TextUse]:
    if isinstance(operator, ast.In | ast.NotIn):
        field, items = _field(left, text), getattr(right, "elts", [])
        if field and items and all(map(_number, items)):
            yield TextUse(*field, "so it never is one of these numbers")
        return
    for one, other in ((left, right), (right, left)):
        field, number = _field(one, text), _number(other)
        if field and number:
            if isinstance(operator, _ORDERED):
                yield TextUse(*field, f"and cannot be compared with {number}")
            elif isinstance(operator, ast.Eq | ast.NotEq):
                yield TextUse(*field, f"so it never equals {number}")


def _computed(node: ast.BinOp, text: Mapping[str, str]) -> Iterator[TextUse]:
    sides = [(node.left, node.right), (node.right, node.left)]
    fields = [(field, other) for one, other in sides if (field := _field(one, text))]
    looks = [text[field[0]] in _NUMBERS for field, _ in fields]
    for (field, other), like_number in zip(fields, looks, strict=True):
        if isinstance(node.op, _NUMERIC):
            yield TextUse(*field, "and cannot be computed with")
        elif isinstance(node.op, ast.Mult) and like_number:
            yield TextUse(*field, "so `*` repeats it, or fails")
        elif isinstance(node.op, ast.Add) and _number(other):
            yield TextUse(*field, f"and {_number(other)} cannot be added to it")
        elif isinstance(node.op, ast.Add) and len(fields) == 2 and all(looks):
            yield TextUse(*field, "so `+` puts both together as text: '1' + '2' is '12'")
            return
