"""Reports: what a supervisor's processes report while they run, so that it can show one progress for all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping

import msgspec

from rsq_pipe.engine.processes.supervised import REPORTS, own_number

PERIOD = 2.0
"""Seconds between two reports of a process."""

_FRESH = 3 * PERIOD
"""Seconds for which a report counts: its process may have died, or another may do its work by now."""

_LARGEST = 65_536
"""Maximum bytes of a report."""


class Report(msgspec.Struct, frozen=True):
    """
    Tell how far a process is.

    Args:
        number: Its index among its supervisor's.
        shares: Share of each source that it has read, 0 to 1, for the sources it reads.
        obstacles: What keeps the pipeline from going on, by kind, as this process sees it.
    """

    number: int
    shares: Mapping[str, float]
    obstacles: Mapping[str, str]


def report(shares: Mapping[str, float], obstacles: Mapping[str, str]) -> None:
    """Report to the supervisor of this process; a report that it cannot take now is left out."""
    said = msgspec.json.encode(Report(own_number() or 0, shares, obstacles))
    with contextlib.suppress(OSError):  # it is paused, or gone
        os.write(int(os.environ[REPORTS]), said)


class Reports:
    """
    Receive the reports, over one socket for all processes: each datagram is one report.

    Nothing waits for a datagram to be taken, so a supervisor that is paused holds up no process.

    Attributes:
        sent_to: The file descriptor to which the processes write.
    """

    def __init__(self) -> None:
        received, sent = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        sent.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)  # macOS allows 2 KiB by default
        for end in (received, sent):
            end.settimeout(0)
        self._received, self.sent_to = received.detach(), sent.detach()
        self._last: dict[int, tuple[float, Report]] = {}

    @property
    def shares(self) -> dict[str, float]:
        """Share of each source that has been read, as the process that reads it says."""
        return {name: share for one in self._fresh() for name, share in one.shares.items()}

    @property
    def obstacles(self) -> dict[str, str]:
        """What keeps the pipeline from going on, each kind as one of the processes describes it."""
        return {kind: what for one in self._fresh() for kind, what in one.obstacles.items()}

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take reports while this context is entered; then close both ends."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._received, self._take)
        try:
            yield
        finally:
            loop.remove_reader(self._received)
            os.close(self._received)
            os.close(self.sent_to)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError, msgspec.DecodeError):
            said = msgspec.json.decode(os.read(self._received, _LARGEST), type=Report)
            self._last[said.number] = time.monotonic(), said

    def _fresh(self) -> list[Report]:
        now = time.monotonic()
        return [said for at, said in self._last.values() if now - at < _FRESH]
