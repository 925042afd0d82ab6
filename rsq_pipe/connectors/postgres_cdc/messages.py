"""Messages: parses PostgreSQL's `pgoutput` messages for each transaction; no I/O."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum
from struct import Struct as Layout
from typing import Final, TypeAlias

from msgspec import Struct

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BEGIN = Layout("!QqI")
_COMMIT = Layout("!BQQq")
_NUMBER = Layout("!I")
_SHORT = Layout("!H")


class Unchanged(Enum):
    """Marks a long value that was not sent because it has not changed."""

    UNCHANGED = 0


UNCHANGED: Final = Unchanged.UNCHANGED

Row: TypeAlias = list[bytes | Unchanged | None]
"""The values of a row as text, in the order of the relation's columns."""


class Begin(Struct, frozen=True):
    """The beginning of a transaction's changes: where and when it was committed, and its number."""

    lsn: int
    time: str
    xid: int


class Commit(Struct, frozen=True):
    """The end of a transaction's changes, and where the log continues."""

    end: int


class Relation(Struct, frozen=True):
    """A table as it was when the following changes were written."""

    number: int
    schema: str
    name: str
    columns: tuple[str, ...]
    types: tuple[int, ...]
    key: tuple[bool, ...]


class Change(Struct):
    """
    Hold one change of a row.

    Args:
        op: `insert`, `update` or `delete`.
        table: The table's number.
        new: The row as it is now; none after a delete.
        old: The row as it was: the columns of its key, or all of them.
        old_is_key: Whether `old` has only the key.
    """

    op: str
    table: int
    new: Row | None
    old: Row | None = None
    old_is_key: bool = False


class Truncate(Struct, frozen=True):
    """The emptying of tables."""

    tables: tuple[int, ...]


Message: TypeAlias = Begin | Commit | Relation | Change | Truncate


def read(data: bytes, at: int = 0) -> Message | None:
    """Parse a message; None if it contains no change."""
    match data[at]:
        case 73:  # I
            new, _ = _row(data, at + 6)
            return Change("insert", _NUMBER.unpack_from(data, at + 1)[0], new)
        case 85:  # U
            return _update(data, at)
        case 68:  # D
            old, _ = _row(data, at + 6)
            table = _NUMBER.unpack_from(data, at + 1)[0]
            return Change("delete", table, None, old, old_is_key=data[at + 5] == 75)
        case 66:  # B
            lsn, micros, xid = _BEGIN.unpack_from(data, at + 1)
            return Begin(lsn, (_EPOCH + timedelta(microseconds=micros)).isoformat(), xid)
        case 67:  # C
            return Commit(_COMMIT.unpack_from(data, at + 1)[2])
        case 82:  # R
            return _relation(data, at + 1)
        case 84:  # T
            count = _NUMBER.unpack_from(data, at + 1)[0]
            return Truncate(Layout(f"!{count}I").unpack_from(data, at + 6))
    return None


def _update(data: bytes, at: int) -> Change:
    table = _NUMBER.unpack_from(data, at + 1)[0]
    kind, at = data[at + 5], at + 6
    old = None
    if kind != 78:  # N: the old row is not given
        old, at = _row(data, at)
        at += 1
    new, _ = _row(data, at)
    return Change("update", table, new, old, old_is_key=kind == 75)


def _row(data: bytes, at: int) -> tuple[Row, int]:
    count = _SHORT.unpack_from(data, at)[0]
    at += 2
    row: Row = []
    for _ in range(count):
        kind = data[at]
        at += 1
        if kind == 116:  # t
            end = at + 4 + _NUMBER.unpack_from(data, at)[0]
            row.append(data[at + 4 : end])
            at = end
        else:  # n or u
            row.append(None if kind == 110 else UNCHANGED)
    return row, at


def _relation(data: bytes, at: int) -> Relation:
    number = _NUMBER.unpack_from(data, at)[0]
    schema, at = _text(data, at + 4)
    name, at = _text(data, at)
    count = _SHORT.unpack_from(data, at + 1)[0]
    at += 3
    columns, types, key = [], [], []
    for _ in range(count):
        key.append(bool(data[at] & 1))
        column, at = _text(data, at + 1)
        columns.append(column)
        types.append(_NUMBER.unpack_from(data, at)[0])
        at += 8
    return Relation(number, schema or "pg_catalog", name, tuple(columns), tuple(types), tuple(key))


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode(), end + 1
