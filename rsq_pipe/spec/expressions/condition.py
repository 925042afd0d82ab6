"""Condition: an expression that decides, and mistakes in it that show before any record is seen."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rsq_pipe.spec.expressions.envelope import READERS
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.expressions.syntax import parse

_VARYING = READERS | {"now"}
"""Functions whose value does not depend on their arguments alone."""


def suspicion(condition: Expression) -> tuple[str, str]:
    """
    Return why a condition is probably a mistake: it gives every record the same answer.

    Returns:
        The problem, and the fix; two empty texts if there is none.
    """
    tree = parse(condition.text).body
    if not _varies(tree):
        try:
            answer = "true" if condition.evaluate({}) else "false"
        except Exception:  # noqa: BLE001 - it fails for each record, and will say so
            return "", ""
        return f"it reads no field, and is {answer} for every record", "compare a field, or remove it"
    for deciding, operand in _operands(tree):
        if isinstance(operand, ast.Constant) and bool(operand.value) is deciding:
            return _decided(operand, deciding=deciding)
    return "", ""


def _varies(tree: ast.expr) -> bool:
    """Return whether it reads anything: a name that is not its own variable, or the time."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    own = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return any(
        node.id in _VARYING if id(node) in called else node.id not in own
        for node in names
        if isinstance(node.ctx, ast.Load)
    )


def _operands(tree: ast.expr) -> Iterator[tuple[bool, ast.expr]]:
    """Yield the operands of a top-level `or` or `and`, each with the answer that it alone would decide."""
    if isinstance(tree, ast.BoolOp):
        deciding = isinstance(tree.op, ast.Or)
        for value in tree.values:
            yield deciding, value
            if isinstance(value, ast.BoolOp) and type(value.op) is type(tree.op):
                yield from _operands(value)


def _decided(operand: ast.Constant, *, deciding: bool) -> tuple[str, str]:
    word = "or" if deciding else "and"
    what = f"`{word} {operand.value!r}` makes it {'true' if deciding else 'false'} for every record"
    if deciding and not isinstance(operand.value, bool):
        return what, "to compare with several values, write `field in [a, b]`"
    return what, "remove it"
