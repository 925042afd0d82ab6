"""StreamMessage: a decoded record with its id, headers and delivery count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from rsq_pipe.ids import record_id
from rsq_pipe.streams.headers import ATTEMPTS, RID

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


# Not frozen: a frozen dataclass takes three times as long to make, and one is made for every record read.
@dataclass(slots=True)
class StreamMessage:
    """
    Hold one record as a handler receives it. Treat it as read-only.

    Args:
        id: The entry id, `ms-seq`.
        data: The decoded record.
        delivery_count: How often Redis has delivered this entry to a consumer, from 1.
        headers: The fields next to the payload: `traceparent`, `rsq-rid`, ...
        stream: The key of the stream that holds the entry.
        raw: The record's bytes as they are in the entry: a dead letter and a retry pass these on.
    """

    id: str
    data: Any
    delivery_count: int = 1
    headers: Mapping[str, str] = field(default_factory=lambda: NO_HEADERS)
    stream: str = ""
    raw: bytes = field(default=b"", repr=False)

    @property
    def rid(self) -> str:
        """The record id: stable across stages, retries and replays."""
        return self.headers.get(RID) or (record_id(self.stream, self.id) if self.stream else self.id)

    @property
    def attempts(self) -> int:
        """How many handler calls have failed for this record; 0 if the header is not such a number."""
        return attempts_in(self.headers)


def attempts_in(headers: Mapping[str, str]) -> int:
    """Return how many handler calls have failed for a record, by its headers; 0 if they give no number."""
    text = headers.get(ATTEMPTS, "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
