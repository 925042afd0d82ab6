"""Mark: how far the changes of a database have been read; the stored position."""

from __future__ import annotations

import msgspec


def lsn_text(lsn: int) -> str:
    """Format a position of the server's log, zero-padded: the texts sort like the positions."""
    return f"{lsn >> 32:08X}/{lsn & 0xFFFFFFFF:08X}"


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Describe rows of a table that were read in one snapshot.

    Args:
        table: The table's number.
        snapshot: The transactions it saw, in the format of `pg_current_snapshot()`.
        lsn: A position after which nothing it saw was committed.
        after: The key after which the rows begin; none for the first row.
        upto: The key of the last row; none for all that follow.
    """

    table: int
    snapshot: str
    lsn: int
    after: list[str] | None = None
    upto: list[str] | None = None


class Copy(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Describe how far the copying of the rows has got.

    Args:
        tables: The numbers of the tables that are not yet complete; the first may be partly read.
        after: The key of the last row read from it.
    """

    tables: list[int]
    after: list[str] | None = None


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """
    Define where to continue: the stored position.

    Args:
        system: The database cluster's own number.
        lsn: Everything committed before this was read.
        transaction: The commit position of a transaction that was read in part.
        changes: How many of its changes were read.
        copy: How far the copying of the rows, which comes first, has got; none once it is done.
        parts: The snapshots in which rows were read, while changes may come that these saw.
    """

    system: str
    lsn: int
    transaction: int = 0
    changes: int = 0
    copy: Copy | None = None
    parts: list[Part] = []

    @classmethod
    def load(cls, position: str) -> Mark | None:
        """Parse a stored position; None if it is empty."""
        return msgspec.json.decode(position, type=cls) if position else None

    def dump(self) -> str:
        """Return it in the stored form."""
        return msgspec.json.encode(self).decode()
