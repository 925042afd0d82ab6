"""Edits: the changes to dead letters in a request, parsed like those of `dlq replay --set`."""

from __future__ import annotations

from typing import Any

from rsq_pipe.errors import ExpressionError
from rsq_pipe.ops.dead_letters.dead_letter_json import Edit
from rsq_pipe.ops.dead_letters.edits import Edits, read_value
from rsq_pipe.ops.dead_letters.selection import parse_name
from rsq_pipe.page.answers import bad
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.spec.expressions.field_path import parse_path

EDITS = ("set", "payload")
"""The keys that change dead letters."""


def edits_of(content: dict[str, Any], letter: str = "") -> Edits:
    """
    Read `set` and `payload`.

    A text in `set` is parsed as JSON if it is JSON, otherwise as text; after `=` as an expression over the
    record.

    Args:
        content: The body of the request.
        letter: The one dead letter whose new record is `payload`.

    Raises:
        Refusal: They are malformed.
    """
    values: dict[str, Any] = {}
    computed: dict[str, Expression] = {}
    given = content.get("set") or {}
    if not isinstance(given, dict):
        raise bad("`set` is not a mapping", 'write {"set": {"country": "DE", "total": "= price * 2"}}')
    for name, value in given.items():
        try:
            parse_path(name)
        except ValueError as exc:
            raise bad(f"`set`: {exc}") from exc
        if isinstance(value, str) and value.lstrip().startswith("="):
            try:
                computed[name] = compile_expression(value.lstrip()[1:].strip())
            except ExpressionError as exc:
                raise bad(f"{name}: {exc}", 'write the text itself in quotes: "\\"= ...\\""') from exc
        else:
            values[name] = read_value(value) if isinstance(value, str) else value
    return Edits.of(_edits(content.get("payload"), letter), {}, values, computed)


def _edits(payload: Any, letter: str) -> list[Edit]:
    if payload is None:
        return []
    name = parse_name(letter)
    if name is None or not isinstance(payload, dict):
        raise bad("`payload` is the whole record of one dead letter", "send a JSON object, and one id")
    return [Edit(name, payload, None, "payload")]
