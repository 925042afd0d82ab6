"""Raw entries: a server's reply split into entries, payload undecoded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from rsq_pipe.streams.headers import SYSTEM
from rsq_pipe.streams.message import NO_HEADERS
from rsq_pipe.streams.settlement import MAX_ENTRIES

DATA = b"data"
"""The field that holds the record; every other field is a header."""

PACK = b"rsq-pack"
"""The first field of an entry that is a pack: its number of records. Its `data` is the pack."""

_is_number = re.compile(rb"[0-9]{1,6}").fullmatch  # of records; any other text is ignored

MAX_FIELDS = 1_000
"""Maximum fields of an entry of its own, including `data`: Lua passes at most some 4,000 to a command."""

MAX_TOTAL_FIELDS = MAX_FIELDS + len(SYSTEM)
"""Maximum fields of an entry, with those it gains on its way: a record that enters also gets through."""


class RawEntry(NamedTuple):
    """
    Hold one entry as it is in its stream.

    Args:
        stream: The stream's key.
        id: The entry id.
        fields: Names and values alternately, as bytes.
        deliveries: How often it has been delivered, including this time.
    """

    stream: str
    id: str
    fields: Sequence[bytes]
    deliveries: int = 1

    @property
    def data(self) -> bytes:
        """The record's bytes; empty if the entry has no `data` field."""
        fields = self.fields
        if len(fields) and fields[0] == DATA:
            return fields[1]
        for name, value in zip(fields[::2], fields[1::2], strict=True):
            if name == DATA:
                return value
        return b""

    @property
    def is_pack(self) -> bool:
        """Whether it holds several records of this pipeline; such an entry begins with their number."""
        return len(self.fields) > 0 and self.fields[0] == PACK

    @property
    def records(self) -> int:
        """How many records it holds; 1 if that field is missing or not a number."""
        fields = self.fields
        return int(fields[1]) if len(fields) and fields[0] == PACK and _is_number(fields[1]) else 1

    @property
    def has_data(self) -> bool:
        """Whether there is a `data` field at all."""
        return DATA in self.fields[::2]

    @property
    def headers(self) -> Mapping[str, str]:
        """Every field but `data`; bytes that are not UTF-8 become backslash escapes, never an error."""
        fields = self.fields
        if fields[0] == DATA and len(fields) <= 4:
            # Nearly every entry: the record and its id, or only the record.
            if len(fields) == 2:
                return NO_HEADERS
            try:
                return {fields[2].decode(): fields[3].decode()}
            except UnicodeDecodeError:
                pass
        return {
            name.decode(errors="backslashreplace"): value.decode(errors="backslashreplace")
            for name, value in zip(fields[::2], fields[1::2], strict=True)
            if name != DATA
        }


class Arrived(NamedTuple):
    """
    Hold the result of a read.

    Args:
        entries: The entries.
        records: How many records they hold.
        size: Total bytes of their values.
    """

    entries: list[RawEntry]
    records: int = 0
    size: int = 0


_made = partial(tuple.__new__, RawEntry)


# These loop over every entry that is read; most hold one record in one or two fields.


def read_reply(reply: Any) -> Arrived:
    """Parse an XREADGROUP or XREAD reply; None means no entries. Deleted entries are left out."""
    found: list[RawEntry] = []
    records = size = 0
    for key, entries in reply or ():
        stream = key.decode()
        there = [entry for entry in entries if entry[1]]
        ids = [entry_id.decode() for entry_id, _ in there]
        # Like RawEntry(...) for each, in a third of the time.
        found += map(_made, zip(repeat(stream), ids, [fields for _, fields in there], repeat(1)))
        records += len(there)
        for _, fields in there:
            if len(fields) == 2:
                size += len(fields[1])
                continue
            size += sum(map(len, fields[1::2]))
            if fields[0] == PACK and _is_number(fields[1]):
                records += int(fields[1]) - 1
    return Arrived(found, records, size)


def records_in(entries: Sequence[RawEntry]) -> int:
    """Count the records of some entries."""
    count = len(entries)
    for entry in entries:
        fields = entry[2]
        if len(fields) and fields[0] == PACK:
            count += entry.records - 1
    return count


def first_of(entries: Sequence[RawEntry], records: int) -> int:
    """Return how many of the first entries hold at most so many records together; at least one."""
    total = 0
    for count, entry in enumerate(entries):
        fields = entry[2]
        total += entry.records if len(fields) and fields[0] == PACK else 1
        if total > records:
            return min(max(count, 1), MAX_ENTRIES)
    return min(len(entries), MAX_ENTRIES)


def range_reply(stream: str, reply: Any) -> Iterator[RawEntry]:
    """Parse an XRANGE or XCLAIM reply."""
    for item in reply or ():
        if item and item[1]:
            yield RawEntry(stream, item[0].decode(), item[1])


def fields_of(data: bytes, headers: Mapping[str, str]) -> list[str | bytes]:
    """Build an entry's fields: `data` first, then the headers."""
    fields: list[str | bytes] = ["data", data]
    for pair in headers.items():
        fields += pair
    return fields


def has_room(names: Iterable[str | bytes]) -> bool:
    """Return whether an entry with these fields is within the limits, without the system's own fields."""
    own = total = 0
    for name in names:
        total += 1
        own += (name.decode(errors="replace") if isinstance(name, bytes) else name) not in SYSTEM
    return own <= MAX_FIELDS and total <= MAX_TOTAL_FIELDS


def id_number(entry_id: str) -> tuple[int, int]:
    """Turn an entry id into a pair that can be compared."""
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq or 0)
