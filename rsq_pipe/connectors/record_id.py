"""Record ids: adds them to what sinks write, if `rid: true` asks for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from rsq_pipe.errors import EncodeError

FIELD = "rid"


def rid_option() -> Any:
    """Declare the setting."""
    return Field(
        default=False,
        description="Write each record's id as its first field, `rid`: to look it up with `rsq-pipe trace`, "
        "or to recognise repetitions. A record that has a different `rid` cannot be written.",
    )


def named(record: Any, rid: str) -> Any:
    """
    Return a record with its id as the first field.

    Raises:
        EncodeError: It already has a field of that name with another value.
    """
    if not isinstance(record, Mapping):
        return record
    if record.get(FIELD, rid) != rid:
        raise EncodeError(
            "it has its own field 'rid', which `rid: true` would write over; rename that one", record
        )
    return {FIELD: rid, **record}
