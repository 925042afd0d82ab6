"""CallTimes: how long the calls of each stage take, counted by duration, added up over all processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import SettleError, StreamError, StreamFullError
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.link import Command, checked

MOST = 63
"""The last of the durations told apart: 20 minutes and more."""


class CallTimes:
    """
    Count the calls of the stages of one process.

    Args:
        client: The server.
        pipeline: The pipeline's name.
    """

    def __init__(self, client: StreamClient, pipeline: str) -> None:
        self._client = client
        self._key = Keyspace(pipeline).calls
        self._counts: Counter[tuple[str, int]] = Counter()

    def note(self, stage: str, seconds: float) -> None:
        """Count a call."""
        self._counts[stage, slot(seconds)] += 1

    async def publish(self) -> None:
        """
        Add what was counted to what others have.

        Raises:
            ServerUnavailableError: It cannot be reached.

        Redis: HINCRBY, for each stage and duration that occurred.
        """
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        commands: list[Command] = [
            ["HINCRBY", self._key, f"{stage}:{number}", count] for (stage, number), count in counts.items()
        ]
        try:
            for reply in await self._client.channel.exchange(commands, key=self._key):
                checked(reply, self._client.channel.address)
        except (SettleError, StreamFullError):  # a server that is full goes without
            pass
        except StreamError:
            self._counts += counts
            raise


def slot(seconds: float) -> int:
    """Number a duration: each is longer than the one before by a factor of the square root of two."""
    micros = seconds * 1e6
    return 0 if micros <= 1 else min(MOST, int(2 * math.log2(micros)))


def quantiles(counts: Mapping[int, int], *shares: float) -> list[float] | None:
    """Tell durations in seconds that a share of the calls did not exceed; None where there were none."""
    total = sum(counts.values())
    if total <= 0:
        return None
    return [_quantile(counts, share * total) for share in shares]


def _quantile(counts: Mapping[int, int], rank: float) -> float:
    seen = 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= rank:
            return float(2 ** ((number + 0.5) / 2) / 1e6)  # the middle of the slot
    raise AssertionError("the counts are at least the rank")
