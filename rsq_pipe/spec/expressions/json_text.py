"""JSON text: values read from it and written to it inside expressions."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from rsq_pipe.model.finite import not_finite
from rsq_pipe.spec.expressions.bounds import MAX_SIZE, TooLargeError, deep, weighed
from rsq_pipe.spec.expressions.record_form import as_record
from rsq_pipe.streams.wording import unreadable


def json(text: str) -> Any:
    """Read a value from JSON text."""
    if not isinstance(text, str):
        raise TypeError(f"json() takes text, not {type(text).__name__}")
    if len(text) > MAX_SIZE:
        raise TooLargeError(f"json() takes at most {MAX_SIZE:,} characters; use a call stage")
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise ValueError(f"{text[:80]!r} is not JSON: {unreadable(exc, text)}") from exc
    # An item takes at least two characters, `0,`, and counts 16: a short text cannot be too large.
    return value if len(text) < MAX_SIZE // 16 else weighed(value)


@deep
def to_json(value: Any) -> str:
    """Write a value as JSON text."""
    weighed(value)
    return written(as_record(value) if isinstance(value, dict | list | tuple | set) else value).decode()


def written(value: Any, *, order: Literal["sorted"] | None = None) -> bytes:
    """Write a value as JSON; ValueError if JSON cannot represent it."""
    try:
        raw = msgspec.json.encode(value, order=order)
    except (UnicodeError, TypeError) as exc:
        raise ValueError("it holds what JSON has no form for") from exc
    if len(raw) > MAX_SIZE:
        raise TooLargeError(f"it would be more than {MAX_SIZE:,} characters of JSON; use a call stage")
    # msgspec would write NaN as null, a different value.
    if b"null" in raw and (place := not_finite(msgspec.to_builtins(value))):
        raise ValueError(f"{place} is NaN or infinite, which JSON does not have")
    return raw
