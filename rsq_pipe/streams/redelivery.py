"""Redelivery: entries taken over from other consumers, and delivered to a handler again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from rsq_pipe.streams.entry import RawEntry

START = "0-0"


class Claim(Struct, frozen=True):
    """
    Hold the result of one limited pass over a group's pending list.

    Args:
        cursor: Where the next pass continues; `0-0` at the end of the list.
        ids: Entries that are now this consumer's.
        deleted: Entries that were pending but no longer in the stream; the server removed them from the list.
    """

    cursor: str
    ids: Sequence[str]
    deleted: Sequence[str] = ()

    @classmethod
    def of(cls, reply: Any) -> Claim:
        """
        Read an XAUTOCLAIM ... JUSTID reply.

        Servers before 7.0 answer in two parts, and leave deleted entries among the ids.
        """
        cursor, ids = reply[0].decode(), [entry_id.decode() for entry_id in reply[1] if entry_id]
        deleted = [entry_id.decode() for entry_id in reply[2]] if len(reply) > 2 else []
        return cls(cursor, ids, deleted)


class Rules(NamedTuple):
    """
    State which entries may be delivered together.

    Args:
        alone_from: From this delivery on, an entry is delivered alone.
        isolate_at: At this delivery it is withheld, because its process has other things in flight. 0: never.
    """

    alone_from: int
    isolate_at: int = 0


TOGETHER = Rules(alone_from=1_000_000)
"""All are delivered together: no entry has so many deliveries."""


class Redelivery(Struct, frozen=True):
    """
    Report what was delivered.

    Args:
        dealt: How many of the requested ids were dealt with, from the first on; the others wait.
        entries: Those that are still the consumer's. One that was deleted, acknowledged or taken over by
            another consumer counts as dealt with, and is not among them.
    """

    dealt: int
    entries: Sequence[RawEntry]

    @classmethod
    def of(cls, stream: str, reply: Any) -> Redelivery:
        """Read redeliver.lua's reply."""
        entries = [RawEntry(stream, item[0].decode(), item[2], deliveries=item[1]) for item in reply[1:]]
        return cls(reply[0], entries)

    @property
    def must_be_alone(self) -> bool:
        """Whether the first entry is due for a delivery that requires isolation, and was withheld."""
        return self.dealt == 0


def rules(max_deliveries: int, *, isolated: bool) -> Rules:
    """
    Choose the rules so that an entry that kills its worker is found, and no entry of its batch is blamed.

    The last two deliveries are made alone: the killer must be alone before it is dead-lettered, and the
    others of its batch must have a delivery left in which to succeed. The earlier ones are made in batches,
    since nearly everything a dead worker leaves behind does no harm. The very last one requires isolation.
    """
    return Rules(max(2, max_deliveries - 1), 0 if isolated else max_deliveries)
