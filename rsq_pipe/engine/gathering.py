"""Gathering: how long sinks leave off reading, so that what comes fast is written in larger batches."""

from __future__ import annotations

TURN = 0.05
"""Seconds that one turn of a sink takes where records come fast, from a read to the next."""

FAST = 10_000
"""Records a second from which on they come fast."""

_SPAN = 0.1  # seconds over which the rate is taken, at least


class Gathering:
    """
    Know how fast the sinks of a process write, all together.

    A batch costs a millisecond of CPU however small it is: a read, a thread, a write that is forced to the
    disk, a settlement. Where records come slowly they are written as they come. Where the whole process has
    much to do, each sink of it lets the next batch gather; one that takes long to write is not held up.
    """

    def __init__(self) -> None:
        self._records = 0
        self._since = 0.0
        self._rate = 0.0

    def pause(self, records: int, most: int, *, began: float, now: float) -> float:
        """
        Say how many seconds a sink leaves off.

        Args:
            records: Of the batch that it has written.
            most: Records from which on a batch is large: to wait for more would hold up those above.
            began: When it was read.
            now: The time.
        """
        self._records += records
        if now - self._since >= _SPAN:
            self._rate = self._records / (now - self._since)
            self._records, self._since = 0, now
        if self._rate < FAST or records >= most:
            return 0.0
        return max(0.0, min(began + TURN - now, most / self._rate))
