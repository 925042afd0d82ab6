"""Reclaim: takes over the entries of consumers that show no sign of life, a bounded number a turn."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rsq_pipe.streams.batch_reader import ReadSize
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.entry import Arrived, records_in
from rsq_pipe.streams.in_flight import InFlight
from rsq_pipe.streams.redelivery import START, Redelivery, rules
from rsq_pipe.streams.settlement import MAX_ENTRIES, Entry
from rsq_pipe.streams.waiting import first

_AT_LEAST = 0.05
"""Seconds between two turns, at least."""

PASS = 100
"""Entries one XAUTOCLAIM call may take over."""


class Reclaim:
    """
    Find entries to be handled again.

    Taking over does not count as a delivery; handing out to the handler does, and the last two deliveries
    are made one entry at a time. So a worker that dies again and again condemns the entry it had in flight,
    and none of those that waited, or stood beside it.

    Args:
        client: The server.
        streams: Names of the streams to look at.
        config: The consumer's settings.
        in_flight: Tells what the consumer holds already.
        read_size: How many entries are handed out together, at most.
        seen: What is known of the pending entries; one that nobody tells anything knows nothing.
    """

    def __init__(
        self,
        client: StreamClient,
        streams: Sequence[str],
        config: ConsumerConfig,
        in_flight: InFlight,
        read_size: ReadSize,
        seen: PendingSeen | None = None,
    ) -> None:
        self._client = client
        self._names = {client.key(name): name for name in streams}
        self._cursors = dict.fromkeys(self._names, START)
        self._config = config
        self._in_flight = in_flight
        self._read_size = read_size
        self._due: list[Entry] = []
        self._seen = PendingSeen() if seen is None else seen
        self._idle = config.min_idle_claim_ms / 1000
        self.waiting: list[Entry] = []
        """What was taken over, and waits to be handed out."""
        self.called = asyncio.Event()
        """Set where there may be something to take over before it is time for the next turn."""
        self._handed_out = asyncio.Event()

    async def turn(self, ready: Callable[[], object], stopping: asyncio.Event) -> None:
        """Take over what is due, say so, and wait until it has been handed out, or it is to stop."""
        self.called.clear()
        if due := await self.tick():
            self._handed_out.clear()
            self.waiting = due
            ready()
            await first(self._handed_out.wait(), stopping.wait())

    async def tick(self) -> list[Entry]:
        """
        Take over what is due, in a bounded number of calls; the next tick goes on where this one ended.

        Asks no server where it is known that nothing can be due.

        Returns:
            Entries now this consumer's and held, to be handed out by `redeliver`.
        """
        config = self._config
        if not self._due and self._seen.rules_out(self._idle):
            self._cursors = dict.fromkeys(self._names, START)
            return []
        for key, name in self._names.items():
            for _ in range(config.max_claim_passes or 1):
                claim = await self._client.claim(
                    name, config.group, config.worker_name, config.min_idle_claim_ms, PASS, self._cursors[key]
                )
                # Not in a variable: what was taken over must not be forgotten if the next call fails.
                self._due += self._hold(key, claim.ids)
                self._cursors[key] = claim.cursor
                if claim.cursor == START:
                    break
        due, self._due = self._due, []
        return due

    async def until_next(self) -> None:
        """Wait until it is time for the next turn, or it is called for; not where the last one left some."""
        if any(cursor != START for cursor in self._cursors.values()):
            return
        # What is handed back after a tick that knew of nothing pending is seen before the next one's time.
        news = [] if self._seen.some.is_set() else [self._seen.some.wait()]
        await first(self.called.wait(), asyncio.sleep(max(self._idle / 2, _AT_LEAST)), *news)

    async def find_lost(self, received: Mapping[str, str]) -> None:
        """
        Find entries that were delivered to this consumer in a reply that never arrived; `tick` returns them.

        Args:
            received: By stream, the last entry that did arrive: what was lost stands behind it.
        """
        config = self._config
        for key, name in self._names.items():
            pending = await self._client.pending_range(
                name,
                config.group,
                f"({received[key]}" if key in received else "-",
                count=MAX_ENTRIES,
                consumer=config.worker_name,
            )
            self._due += self._hold(key, [entry.id for entry in pending])
        if self._due:
            self.called.set()

    async def redeliver(self, *, isolated: bool = False) -> Redelivery:
        """
        Hand the first of what waits out again, and count the delivery of those still this consumer's.

        As many as may be together: a batch of one stream, but an entry near its last delivery alone.

        Args:
            isolated: Whether nothing else is in this process's hand; the very last delivery asks for that.
        """
        config, waiting = self._config, self.waiting[:1] if isolated else self.waiting
        stream = waiting[0].stream
        same = itertools.takewhile(lambda entry: entry.stream == stream, waiting)
        again = await self._client.redeliver(
            self._names[stream],
            config.group,
            config.worker_name,
            [entry.id for entry in itertools.islice(same, self._read_size.entries)],
            rules(config.max_deliveries, isolated=isolated),
        )
        size = sum(len(value) for entry in again.entries for value in entry.fields[1::2])
        self._read_size.learn(Arrived([*again.entries], records_in(again.entries), size))
        return again

    def dealt(self, number: int) -> None:
        """State that the first of what waits has been handled, or is not this consumer's."""
        self.waiting = self.waiting[number:]

    def let_go(self) -> None:
        """Leave what still waits pending, and let the next turn begin."""
        self.waiting = []
        self._handed_out.set()

    def held(self) -> Iterator[Entry]:
        """Yield what was taken over and has not been handled."""
        return itertools.chain(self._due, self.waiting)

    def _hold(self, key: str, ids: Sequence[str]) -> list[Entry]:
        # Its own long-running entries look idle too, if the heartbeat came late: they are in flight already.
        held = self._in_flight.ids()
        return [Entry(key, entry_id) for entry_id in ids if (key, entry_id) not in held]


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
