"""Quiet: says why a partition brings no messages, if that is not because there are none."""

from __future__ import annotations

import time
from collections.abc import Callable

from rsq_pipe.connectors.kafka.background import Trouble
from rsq_pipe.connectors.kafka.cluster import server_message

_SOON = 2.0
"""Seconds without an answer after which a problem that the client has logged since is the reason."""

_HELD = 5.0
"""Seconds that a transaction may be open before that is reported: most end sooner."""


class Quiet:
    """
    Watch one partition.

    Args:
        longest: Seconds without an answer after which the client is not trusted any more.
        clock: Returns monotonic seconds.
    """

    def __init__(self, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._clock = clock
        self._answer: int | None = None
        self._open_at, self._open_since = -1, 0.0
        self._heard = clock()

    def answered(self, at: int | None) -> None:
        """Store when a broker last answered, in milliseconds by the wall clock; None if never."""
        if at is not None and at != self._answer:
            self._answer, self._heard = at, self._clock()

    @property
    def is_lost(self) -> bool:
        """Whether no broker has answered for so long that the client itself must be at fault."""
        return self._clock() - self._heard > self._longest

    def why_away(self, trouble: Trouble | None) -> str:
        """Return why no broker answers; empty if one does, or is given more time."""
        if trouble is not None and trouble.at > self._heard and self._clock() - self._heard > _SOON:
            return server_message(trouble.cause) if trouble.cause is not None else trouble.message
        return f"no broker has answered for {self._longest:g} s" if self.is_lost else ""

    def why_held(self, position: int, stable: int | None, end: int | None) -> str:
        """
        Return which transaction has held back messages for a while; empty if none has.

        Args:
            position: The offset of the next message.
            stable: The offset before which every transaction has ended; -1 if it is not needed.
            end: The offset after the last message, committed or not.
        """
        if stable is None or end is None or not 0 <= stable < end or position < stable:
            self._open_at = -1
            return ""
        if self._open_at != stable:
            self._open_at, self._open_since = stable, self._clock()
        if self._clock() - self._open_since < _HELD:
            return ""
        return (
            f"a transaction that began at offset {stable:,} is still open, and holds back the "
            f"{end - stable:,} messages from there on; `committed: false` would read them"
        )
