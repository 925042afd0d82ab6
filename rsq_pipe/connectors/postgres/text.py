"""Text: values in the format of COPY."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.json_text import as_json, as_text, encode
from rsq_pipe.errors import EncodeError
from rsq_pipe.streams.wording import unwritable

NULL = "\\N"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NUMBERS = frozenset((int, float))
_WHOLE = frozenset(("smallint", "integer", "bigint"))
_TEXT = frozenset((str,))


def lines_at_once(columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> list[str] | None:
    """Format rows, given by columns; None if one of them cannot be written."""
    try:
        fields = [_fields(column, own) for column, own in zip(columns, values, strict=True)]
        lines = list(map("\t".join, zip(*fields, strict=True)))
        "".join(lines).encode()
    except (EncodeError, ValueError):  # half of a surrogate pair
        return None
    return lines


def line(columns: Sequence[Column], row: Sequence[Any], record: Any) -> str:
    """
    Format one row.

    Raises:
        EncodeError: A value cannot be written.
    """
    written = "\t".join([_field(column, value) for column, value in zip(columns, row, strict=True)])
    try:
        written.encode()
    except UnicodeEncodeError as exc:
        raise EncodeError(unwritable(record, encode, "PostgreSQL"), record) from exc
    return written


def _fields(column: Column, values: Sequence[Any]) -> Sequence[str]:
    kinds = {*map(type, values)}
    if kinds <= _NUMBERS and not (column.type in _WHOLE and float in kinds):
        return list(map(repr, values))
    if kinds == _TEXT and not column.is_json:
        text = "".join(values)
        if not ("\\" in text or "\t" in text or "\n" in text or "\r" in text):
            return values
        return [value.translate(_ESCAPES) for value in values]
    return [_field(column, value) for value in values]


def _field(column: Column, value: Any) -> str:
    return NULL if value is None else _text(column, value).translate(_ESCAPES)


def _text(column: Column, value: Any) -> str:
    """Write a value, which is not null, as the input of its type."""
    if column.is_json:
        return as_json(value, column)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int | float):
        return _number(value, column.type in _WHOLE)
    if column.is_array and isinstance(value, list | tuple):
        return _as_array(value, column)
    if isinstance(value, dict) and column.parts:
        return _as_row(value, column)
    if isinstance(value, dict) and column.type.endswith("hstore"):
        return _as_hstore(value, column)
    return as_text(value, column)


def _as_row(fields: dict[str, Any], column: Column) -> str:
    """Write a value of a composite type; a field that is missing is null."""
    names = [part.name for part in column.parts]
    if extra := [name for name in fields if name not in names]:
        what = f"column {column.name!r} holds {column.type}, which has no field {extra[0]!r}"
        raise EncodeError(f"{what}; it has {', '.join(names)}", fields)
    texts = [(part, fields.get(part.name)) for part in column.parts]
    return "(" + ",".join("" if own is None else _quoted(_text(part, own)) for part, own in texts) + ")"


def _as_hstore(pairs: dict[str, Any], column: Column) -> str:
    """Write texts by names, of which each may be null."""
    texts = {name: None if value is None else as_text(value, column) for name, value in pairs.items()}
    return ",".join(
        f"{_quoted(name)}=>{'NULL' if own is None else _quoted(own)}" for name, own in texts.items()
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _number(value: float, whole: bool) -> str:
    """Write a number; one without a fraction as a whole one, since the server would refuse `2.0`."""
    return repr(int(value) if whole and type(value) is float and value.is_integer() else value)


def _as_array(values: Sequence[Any], column: Column) -> str:
    return "{" + ",".join(_item(value, column) for value in values) + "}"


def _item(value: Any, column: Column) -> str:
    if value is None:
        return "NULL"
    holds_json = column.type.startswith("json")
    if isinstance(value, list | tuple) and not holds_json:
        return _as_array(value, column)
    if isinstance(value, bool) and not holds_json:
        return "t" if value else "f"
    if isinstance(value, int | float) and not holds_json:
        return _number(value, column.type.partition("[")[0] in _WHOLE)
    if isinstance(value, dict) and column.parts:
        return _quoted(_as_row(value, column))
    return _quoted(value if isinstance(value, str) and not holds_json else as_json(value, column))
