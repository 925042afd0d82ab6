"""Gathering: how long sinks pause reading, so that fast records are written in larger batches."""

from __future__ import annotations

TURN = 0.05
"""Seconds that one turn of a sink takes, from one read to the next, if records arrive fast."""

FAST = 10_000
"""Records per second that count as fast."""

_SPAN = 0.1  # minimum seconds over which the rate is measured


class Gathering:
    """
    Measure how fast the sinks of a process write together.

    A batch costs a millisecond of CPU however small it is: a read, a thread, an fsync, a settlement. If
    records arrive slowly, they are written as they arrive. If the whole process has much to do, each of its
    sinks lets the next batch gather; a sink that writes slowly is not delayed.
    """

    def __init__(self) -> None:
        self._records = 0
        self._since = 0.0
        self._rate = 0.0

    def pause(self, records: int, most: int, *, began: float, now: float) -> float:
        """
        Return how many seconds a sink pauses reading.

        Args:
            records: Records in the batch just written.
            most: Number of records that makes a batch large: waiting for more would hold up the stages above.
            began: When it was read, by the same clock as `now`.
            now: The time.
        """
        self._records += records
        if now - self._since >= _SPAN:
            self._rate = self._records / (now - self._since)
            self._records, self._since = 0, now
        if self._rate < FAST or records >= most:
            return 0.0
        return max(0.0, min(began + TURN - now, most / self._rate))
