"""Redelivery: entries handed to a handler once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rsq_pipe.streams.entry import RawEntry

TOGETHER = 1_000_000
"""A delivery that no entry reaches: all are handed out together."""


@dataclass(frozen=True, slots=True)
class Redelivery:
    """
    State what was handed out.

    Args:
        dealt: How many of the ids asked for were dealt with, from the first on; the others wait.
        entries: Those that are still the consumer's. One that was deleted, acknowledged or taken over by
            another consumer is dealt with, and not among them.
    """

    dealt: int
    entries: Sequence[RawEntry]


def alone_from(max_deliveries: int) -> int:
    """
    Say from which delivery on an entry is handed out alone.

    An entry that kills its worker must be alone before it is condemned, and one that only stood beside it
    must still have a delivery left to be done in: so the last two deliveries are made alone. The ones before
    are made in batches, since nearly all that a dead worker leaves behind is innocent.
    """
    return max(2, max_deliveries - 1)


def redelivery_reply(stream: str, reply: Any) -> Redelivery:
    """Read redeliver.lua's reply."""
    entries = [RawEntry(stream, item[0].decode(), item[2:], deliveries=item[1]) for item in reply[1:]]
    return Redelivery(reply[0], entries)
