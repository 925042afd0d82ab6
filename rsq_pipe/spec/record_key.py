"""Record key: the key of a record: a field, several fields, or an expression."""

from __future__ import annotations

import re
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BeforeValidator, WithJsonSchema

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.spec.expressions.field_path import FieldPath, parse_path
from rsq_pipe.spec.validation import describe

_FIELD = re.compile(r"[^\W\d]\w*(\.\w+)*")

MAX_PARTS = 20


class RecordKey(Struct, frozen=True):
    """
    Define the key of a record.

    Args:
        text: As written, on one line.
        fields: The field or fields; empty for an expression.
        expression: Its value is the key.
    """

    text: str
    fields: tuple[FieldPath, ...] = ()
    expression: Expression | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The last names of its fields."""
        return tuple(field[-1] for field in self.fields)


def check_key(value: object) -> object:
    """Accept what may be a key; ValueError for everything else."""
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return value
    raise ValueError(
        f"must be a field, a list of fields or an expression, not {describe(value)}; "
        "write id or [country, id]"
    )


KEY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_PARTS},
    ]
}
KeyText = Annotated[Any, BeforeValidator(check_key), WithJsonSchema(KEY_SCHEMA)]


def read_key(document: Document, value: Any, path: Path_) -> RecordKey | None:
    """
    Read a key, reporting its mistakes.

    A text that is a name, or names joined by dots, is a field; any other text is an expression. In a list
    each item is a field, whatever characters it has.
    """
    if isinstance(value, str):
        if _FIELD.fullmatch(value.strip()):
            return RecordKey(value.strip(), (parse_path(value.strip()),))
        try:
            return RecordKey(" ".join(value.split()), expression=compile_expression(value))
        except ExpressionError as exc:
            document.report_error(path, exc)
            return None
    fields: list[FieldPath] = []
    if len(value) > MAX_PARTS:
        document.report(path, f"the key has {len(value)} fields; it has at most {MAX_PARTS}", "use fewer")
        return None
    for at, text in enumerate(value):
        try:
            field = parse_path(text)
        except ValueError as exc:
            document.report_error((*path, at), exc)
            continue
        if field in fields:
            document.report((*path, at), f"field {text!r} appears twice", "remove one of the two")
        fields.append(field)
    return None if document.failed(path) else RecordKey(", ".join(value), tuple(fields))
