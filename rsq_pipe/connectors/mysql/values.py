"""Values: the text in a statement for each field of a record."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from pymysql.converters import escape_string

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.json_text import as_json, as_text, encode
from rsq_pipe.connectors.ledger.whole_numbers import check_whole
from rsq_pipe.errors import EncodeError
from rsq_pipe.streams.wording import unwritable

_MOMENTS = frozenset(("datetime", "timestamp"))
_NUMBERS = frozenset((int, float))
_ONLY_WHOLE = frozenset((int,))
_TEXT = frozenset((str,))
_WHOLE = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))
_SPECIAL = re.compile(r"""[\0\n\r\x1a"'\\]""")
"""Characters that `escape_string` changes."""


def line(columns: tuple[Column, ...], values: list[Any], record: Any) -> str:
    """
    Format one row, in brackets.

    Raises:
        EncodeError: A value cannot be written.
    """
    written = f"({','.join([_value(column, value) for column, value in zip(columns, values, strict=True)])})"
    try:
        written.encode()
    except UnicodeEncodeError as exc:  # half of a surrogate pair
        raise EncodeError(unwritable(record, encode, "MySQL"), record) from exc
    return written


def lines_at_once(columns: Sequence[Column], values: Sequence[Sequence[Any]]) -> list[str] | None:
    """Format rows, given by columns; None if one of them cannot be written."""
    try:
        fields = [_fields(column, own) for column, own in zip(columns, values, strict=True)]
        lines = [f"({','.join(row)})" for row in zip(*fields, strict=True)]
        "".join(lines).encode()
    except (EncodeError, UnicodeEncodeError, OverflowError):  # a whole number too large for a float
        return None
    return lines


def _fields(column: Column, values: Sequence[Any]) -> list[str]:
    kinds = {*map(type, values)}
    if not column.is_json and not (column.type in _WHOLE and kinds != _ONLY_WHOLE):
        if kinds <= _NUMBERS and all(map(isfinite, values)):
            return list(map(repr, values))
        if kinds == _TEXT and column.type not in _MOMENTS and not _SPECIAL.search("".join(values)):
            return [f"'{value}'" for value in values]
    return [_value(column, value) for value in values]


def _value(column: Column, value: Any) -> str:
    if value is None:
        return "NULL"
    if column.is_json:
        return _text(as_json(value, column))
    kind = type(value)
    if column.type in _WHOLE:
        check_whole(value, column, value)
    if kind is str:
        return _text(_moment(value) if column.type in _MOMENTS else value)
    if kind is bool:
        return "1" if value else "0"
    if kind is int or (kind is float and isfinite(value)):
        return repr(value)
    text = as_text(value, column)
    return _text(_moment(text) if column.type in _MOMENTS else text)


def _text(text: str) -> str:
    return f"'{escape_string(text)}'"


def _moment(text: str) -> str:
    """Convert a datetime with a zone to UTC, the session's zone: columns of this kind have none."""
    if len(text) < 17 or not (text.endswith("Z") or text[-6] in "+-" or text[-3] in "+-"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text  # the server reports what is wrong with it
    if moment.tzinfo is None:
        return text
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
