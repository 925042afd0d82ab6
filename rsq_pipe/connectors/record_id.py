"""Record ids in what sinks write, for those who ask for them: `rid: true`."""

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
        description="Write each record's id as its first field, `rid`: to look it up by `rsq-pipe trace`, or "
        "to tell repetitions. A record that has another `rid` of its own cannot be written.",
    )


def named(record: Any, rid: str) -> Any:
    """
    Give a record with its id in front.

    Raises:
        EncodeError: It has a field of that name already, which says something else.
    """
    if not isinstance(record, Mapping):
        return record
    if record.get(FIELD, rid) != rid:
        raise EncodeError(
            "it has a field 'rid' of its own, which `rid: true` would write over; rename that one", record
        )
    return {FIELD: rid, **record}
