"""Mistakes: all errors of one record, in brief."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rsq_pipe.errors import RecordInvalidError

VALUE_LENGTH = 60
MISTAKES_NAMED = 100
"""Maximum number of errors named for one record; a list may hold thousands of invalid items."""
LISTED = 3_500
"""Maximum characters for them in a message, so that the number of the others fits into a dead letter."""


def invalid(
    stage: str, what: str, mistakes: Sequence[tuple[str, str]], most: int = MISTAKES_NAMED
) -> RecordInvalidError:
    """
    Build the error of an invalid record.

    Args:
        stage: The stage's name.
        what: What it should be: `a valid Order`.
        mistakes: Field and error; a field may occur several times.
        most: Maximum number of errors named.
    """
    fields: dict[str, str] = {}
    room, named = LISTED, 0
    for field, mistake in mistakes[:most]:
        room -= len(field) + len(mistake) + len("; : ")
        if room < 0 and fields:
            break
        named += 1
        fields[field] = f"{fields[field]}, and {mistake}" if field in fields else mistake
    listed = "; ".join(f"{field}: {mistake}" for field, mistake in fields.items())
    more = f"; and {len(mistakes) - named} more" if len(mistakes) > named else ""
    return RecordInvalidError(
        f"stage {stage!r}: the record is not {what}: {listed}{more}", stage=stage, fields=fields
    )


def place(inside: Sequence[int | str]) -> str:
    """Format the path of a value inside a record: `lines.0.price`."""
    return ".".join(map(str, inside)) or "the record"


def got(value: Any) -> str:
    """Describe an invalid value, in brief: whole payloads do not belong in a log."""
    return f"(got {_shortened(value)})"


def _shortened(value: Any) -> str:
    if isinstance(value, dict | list):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value[: VALUE_LENGTH + 1] if isinstance(value, str | bytes) else value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}..."
