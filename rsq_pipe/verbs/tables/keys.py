"""Keys: the keys by which rows are found, in one form for all types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.verbs.picking import Record, found

Key: TypeAlias = str | tuple[str, ...]
"""A key of one part, or of several."""

EMPTY = "(empty)"
"""The text shown for an empty key part."""


def key_text(value: Any) -> str | None:
    """
    Convert a part of a key to text, so that 5, 5.0 and "5" are one key, whatever a table's file holds.

    Returns:
        None for null, which is in no table.

    Raises:
        ValueError: It is a list or a mapping.
    """
    kind = type(value)
    if kind is str or value is None:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is float:
        return str(int(value)) if value.is_integer() else repr(value)
    raise ValueError(f"a {kind.__name__} is not a key; it must be text, a number, true or false")


def key_maker(key: RecordKey) -> Callable[[Record], tuple[Key | None, str]]:
    """
    Make the function that returns a record's key, None if a part is null, and the key's listed form.

    It raises MissingFieldError if a field is missing, ValueError if a value cannot be a key, and any error of
    an expression.
    """
    expression = key.expression
    if expression is not None:
        evaluate = expression.evaluate

        def evaluated(record: Record) -> tuple[Key | None, str]:
            value = evaluate(record)
            if type(value) in {list, tuple}:
                raise ValueError(f"a {type(value).__name__} is not a key; write a list of fields")
            text = key_text(value)
            return text, listed((text,))

        return evaluated
    fields = key.fields
    if len(fields) == 1:
        field = fields[0]

        def of_one(record: Record) -> tuple[Key | None, str]:
            text = key_text(found(record, field))
            return text, listed((text,))

        return of_one

    def of_several(record: Record) -> tuple[Key | None, str]:
        parts = tuple(key_text(found(record, field)) for field in fields)
        return (None if None in parts else parts), listed(parts)  # type: ignore[return-value]

    return of_several


def listed(parts: Sequence[str | None]) -> str:
    """Format a key for the list of unknown keys."""
    return ", ".join("null" if part is None else part.strip() or EMPTY for part in parts)
