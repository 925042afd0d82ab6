"""LateEntries: entries that arrive once more after they were settled, in a reply that was long on its way."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rsq_pipe.streams.entry import RawEntry

KEPT = 60.0
"""Seconds for which settled entries are known; a read whose reply takes longer has been given up before."""


class LateEntries:
    """
    Leave out entries that this process has settled already.

    If the connection of a read hangs, what it has read is taken over on another connection, delivered again,
    and settled. Then the first reply may arrive after all. For a stage that is harmless, since the settlement
    refuses it. A table has been written by then, and its ledger does not expect records that were settled.
    """

    def __init__(self) -> None:
        self._settled: dict[tuple[str, str], float] = {}  # when, by key and id

    def settled(self, entries: Sequence[RawEntry]) -> None:
        """Note those of the entries that may arrive late: what was delivered once has arrived."""
        now = time.monotonic()
        again = [(entry.stream, entry.id) for entry in entries if entry.deliveries > 1]
        if not again:
            return
        self._settled |= dict.fromkeys(again, now)
        for key in [key for key, at in self._settled.items() if at < now - KEPT]:
            del self._settled[key]

    def without(self, entries: Sequence[RawEntry]) -> Sequence[RawEntry]:
        """Return the entries that are not known to be settled; one delivered again is checked by then."""
        if not self._settled:
            return entries
        return [
            entry
            for entry in entries
            if entry.deliveries > 1 or (entry.stream, entry.id) not in self._settled
        ]
