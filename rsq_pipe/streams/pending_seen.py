"""PendingSeen: what is known of a group's pending entries from looks that others take anyway."""

from __future__ import annotations

import asyncio
import math
import time


class PendingSeen:
    """
    Know when a consumer's groups were seen last with nothing pending.

    An entry that may be taken over has been pending for some time: where nothing was pending a moment ago,
    there is nothing to look for. Handed back, an entry may be taken over at once; the next look shows it.
    """

    def __init__(self) -> None:
        self._none_at = -math.inf
        self.some = asyncio.Event()
        """Set while entries may be pending."""
        self.some.set()

    def looked(self, asked: float, *, is_none: bool) -> None:
        """
        Take note of a look.

        Args:
            asked: When it was taken at the earliest, by `time.monotonic`.
            is_none: Whether nothing was pending in any of the groups.
        """
        if is_none:
            self._none_at = max(asked, self._none_at)
            self.some.clear()
        else:
            self._none_at = -math.inf
            self.some.set()

    def rules_out(self, seconds: float) -> bool:
        """Whether no entry can have been pending for so long."""
        return time.monotonic() < self._none_at + seconds
