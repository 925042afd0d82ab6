"""DeadLetter: one failed record as its queue holds it, with the reason."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from rsq_pipe.ids import record_id
from rsq_pipe.streams.entry import DATA, RawEntry
from rsq_pipe.streams.headers import ATTEMPTS, ORIGIN, REPLAY, REPLAY_LINK, RID, WHY, current, current_fields
from rsq_pipe.units import format_moment

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_ERROR_TYPE = re.compile(r"([A-Za-z_]\w*): (.*)", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class DeadLetter:
    """
    Hold one dead letter. Any header may be missing; it then reads as empty.

    Args:
        stage: The stage in whose queue it is: the one that failed it.
        entry: Its entry, bytes untouched.
    """

    stage: str
    entry: RawEntry

    @property
    def id(self) -> str:
        """The entry id in the queue."""
        return self.entry.id

    @property
    def name(self) -> str:
        """Its name on the command line: `stage/id`."""
        return f"{self.stage}/{self.entry.id}"

    @property
    def raw(self) -> bytes:
        """The record's bytes."""
        return self.entry.data

    @cached_property
    def _all(self) -> Mapping[str, str]:
        return current(self.entry.headers)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The record's own headers, without those about the failure."""
        return {name: value for name, value in self._all.items() if not _of_failure(name)}

    @property
    def reason(self) -> str:
        """The cause as one word."""
        return self._why("reason")

    @property
    def error(self) -> str:
        """The exception as `Type: message`, or a sentence."""
        return self._why("error")

    @cached_property
    def error_type(self) -> str:
        """The class of the exception; empty if the error is a sentence."""
        match = _ERROR_TYPE.fullmatch(self.error) if self.traceback else None
        return match[1] if match else ""

    @property
    def message(self) -> str:
        """The error without its type."""
        return self.error.removeprefix(f"{self.error_type}: ") if self.error_type else self.error

    @property
    def traceback(self) -> str:
        """The end of the traceback; empty if there was no exception."""
        return self._why("traceback")

    @property
    def attempts(self) -> int:
        """How many handler calls failed."""
        text = self._why("attempts")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    @property
    def failed_entry(self) -> str:
        """The entry that failed, `stream/id`; for a source `stage/offset`."""
        return self._why("entry")

    @cached_property
    def at(self) -> datetime:
        """When it failed, or if that was not recorded, when the letter was written."""
        with contextlib.suppress(ValueError, OverflowError):
            return _EPOCH + timedelta(seconds=float(self._why("at")))
        with contextlib.suppress(OverflowError):
            return _EPOCH + timedelta(milliseconds=int(self.id.partition("-")[0]))
        return _EPOCH

    @property
    def rid(self) -> str:
        """The record id; a record from outside without one has the id of its entry."""
        if rid := self._all.get(RID):
            return rid
        origin, _, place = self.failed_entry.rpartition("/")
        return record_id(origin, place) if origin else record_id(self.entry.stream, self.id)

    @property
    def trace_id(self) -> str:
        """The trace it belongs to; empty if none."""
        match = _TRACEPARENT.fullmatch(self._all.get("traceparent", ""))
        return match[1] if match else ""

    def facts(self) -> dict[str, Any]:
        """Return what is known of it, but for its payload and headers, under the names that users see."""
        return {
            "stage": self.stage,
            "id": self.id,
            "rid": self.rid,
            "at": format_moment(self.at),
            "reason": self.reason,
            "error_type": self.error_type,
            "message": self.message,
            "attempts": self.attempts,
            "entry": self.failed_entry,
            "trace_id": self.trace_id,
            "traceback": self.traceback,
        }

    def revived(self, data: bytes | None = None) -> list[str | bytes]:
        """
        Build the entry that goes back to the stage, as the record first arrived there.

        Args:
            data: Edited bytes; None for its own.

        Returns:
            Names and values alternately, without attempts and reasons; empty if nothing is left.
        """
        fields: list[str | bytes] = []
        names: set[bytes] = set()
        for name, value in current_fields(self.entry.fields):
            if name not in _OF_A_REPLAY and not _of_failure(name.decode(errors="replace")):
                names.add(name)
                fields += (name, data if data is not None and name == DATA else value)
        if data is not None and ORIGIN.encode() in names:
            # An entry kept as it came from outside: edited bytes replace all of it.
            fields = ["data", data]
            names -= {RID.encode()}
        elif data is not None and DATA not in names:
            fields = ["data", data, *fields]
        if fields and RID.encode() not in names:
            fields += (RID, self.rid)
        if self.trace_id:
            fields += (REPLAY_LINK, self._all["traceparent"])
        if fields:
            fields += (REPLAY, self.id)
        return fields

    def _why(self, name: str) -> str:
        return self._all.get(WHY + name, "")


_OF_A_REPLAY = frozenset((REPLAY_LINK.encode(), REPLAY.encode()))
"""Headers about the previous replay, which this one replaces."""


def _of_failure(header: str) -> bool:
    """Return whether a header was added by the failure: a replay leaves it out."""
    return header == ATTEMPTS or header.startswith(WHY)
