"""Syntax: the tree of an expression's text, with the columns of that text."""

from __future__ import annotations

import ast
import re

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.expressions.explanation import of_syntax
from rsq_pipe.spec.expressions.slips import slip, unquoted

_ESCAPE = re.compile(r"(?<=['\"])\\.(?=['\"])")  # text quoted in a message of Python
_TEMPLATE = re.compile(r"\s*\{\{\s*([^{}]+?)\s*\}\}\s*")  # as in Jinja; here it would be a set of sets


def parse(text: str) -> ast.Expression:
    """
    Parse an expression, with columns that match the text.

    Raises:
        ExpressionError: It is not Python.
    """
    if not text.strip():
        raise ExpressionError("not an expression: it is empty; write one", column=1)
    if template := _TEMPLATE.fullmatch(text):
        raise ExpressionError(f"a template is no expression; write `{template[1]}`", column=1)
    # Leading space is an "unexpected indent" to Python; its width is added back to the column.
    indent = len(text) - len(text.lstrip())
    try:
        tree = ast.parse(text.strip().replace("\n", " "), "<expression>", "eval")
    except SyntaxError as exc:
        # Python gives no offset if the text ends too early.
        column = (exc.offset or len(text.strip()) + 1) + indent
        if wrong := _ESCAPE.search(exc.msg):
            # Python releases differ in the position they report.
            column = text.find(wrong[0]) + 1
        fix, column = _fix(text, exc.msg, column)
        early = exc.msg == "invalid syntax" and not fix and column > len(text.rstrip())
        why = "it ends too early" if early else of_syntax(exc.msg)
        raise ExpressionError(f"not an expression: {why} at column {column}{fix}", column=column) from exc
    except ValueError as exc:
        raise ExpressionError(f"not an expression: {exc}") from exc
    for node in ast.walk(tree):
        if indent and isinstance(node, ast.expr):
            node.col_offset += indent
            node.end_col_offset = (node.end_col_offset or 0) + indent
    return tree


def _fix(text: str, message: str, column: int) -> tuple[str, int]:
    """Return what to do about a mistake of syntax, if it is known, and the mistake's column."""
    if slipped := slip(text):
        return f"; {slipped[0]}", slipped[1]
    if words := unquoted(text):
        return f"; {words}", column
    if "was never closed" in message and "," not in text:
        # Usually the rest was taken for the next key of a mapping in braces.
        return "; a comma ends a value within { }: put the whole expression in quotes", column
    return "", column
