"""JSON text: values of types that a database does not have, as text it can hold."""

from __future__ import annotations

from typing import Any

import msgspec

from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.errors import EncodeError
from rsq_pipe.model.finite import not_finite
from rsq_pipe.streams.wording import unwritable

encode = msgspec.json.Encoder().encode


def as_json(value: Any, column: Column | None = None) -> str:
    """
    Write a value as JSON.

    Args:
        value: The value.
        column: The column it is for, to be named in the error.

    Raises:
        EncodeError: JSON cannot hold it.
    """
    try:
        if not (path := not_finite(value)):
            return encode(value).decode()
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as exc:
        raise _error(unwritable(value, encode, "JSON"), value, column) from exc
    raise _error(f"{path} is not a finite number", value, column)


def as_text(value: Any, column: Column | None = None) -> str:
    """
    Write a value as JSON; dates and the like, which are JSON strings, without JSON's quotes.

    Raises:
        EncodeError: JSON cannot hold it.
    """
    text = as_json(value, column)
    return str(msgspec.json.decode(text)) if text.startswith('"') else text


def _error(why: str, value: Any, column: Column | None) -> EncodeError:
    return EncodeError(why if column is None else f"column {column.name!r}: {why}", value)
