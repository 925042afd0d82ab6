"""Claim: what one XAUTOCLAIM call took over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

START = "0-0"


@dataclass(frozen=True, slots=True)
class Claim:
    """
    State the result of one bounded pass over a group's pending list.

    Args:
        cursor: Where the next pass goes on; `0-0` at the end of the list.
        ids: Entries now this consumer's.
        deleted: Entries that were pending but are no longer in the stream; the server forgot them.
    """

    cursor: str
    ids: Sequence[str]
    deleted: Sequence[str] = ()


def claim_reply(reply: Any) -> Claim:
    """
    Read an XAUTOCLAIM ... JUSTID reply.

    Servers before 7.0 answer in two parts, and leave entries that are no longer in the stream among the ids.
    """
    cursor, ids = reply[0].decode(), [entry_id.decode() for entry_id in reply[1] if entry_id]
    deleted = [entry_id.decode() for entry_id in reply[2]] if len(reply) > 2 else []
    return Claim(cursor, ids, deleted)
