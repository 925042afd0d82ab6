"""Reclaim: takes over the entries of consumers that show no sign of life, a limited number per turn."""

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
"""The shortest time between two turns, in seconds."""

PASS = 100
"""How many entries one XAUTOCLAIM call may take over."""


class Reclaim:
    """
    Find entries that have to be handled again.

    Taking over does not count as a delivery; delivering to the handler does, and the last two deliveries are
    made one entry at a time. So a worker that keeps dying condemns the entry it had in flight, and none of
    those that waited or were in the same batch.

    Args:
        client: The server.
        streams: Names of the streams to look at.
        config: The consumer's settings.
        in_flight: Returns the entries that the consumer already holds.
        read_size: Maximum number of entries delivered together.
        seen: What is known of the pending entries; if it is never updated, it rules out nothing.
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
        """What was taken over and waits to be delivered."""
        self.called = asyncio.Event()
        """Set if there may be something to take over before the next turn is due."""
        self._handed_out = asyncio.Event()

    async def turn(self, ready: Callable[[], object], stopping: asyncio.Event) -> None:
        """Take over due entries, report them, and wait until they have been delivered, or for a stop."""
        self.called.clear()
        if due := await self.tick():
            self._handed_out.clear()
            self.waiting = due
            ready()
            await first(self._handed_out.wait(), stopping.wait())

    async def tick(self) -> list[Entry]:
        """
        Take over due entries, in a limited number of calls; the next tick continues where this one ended.

        Sends no command if it is known that nothing can be due.

        Returns:
            Entries that are now this consumer's and held, to be delivered by `redeliver`.
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
                # Not in a variable: entries taken over must not be lost if the next call fails.
                self._due += self._hold(key, claim.ids)
                self._cursors[key] = claim.cursor
                if claim.cursor == START:
                    break
        due, self._due = self._due, []
        return due

    async def until_next(self) -> None:
        """Wait until the next turn is due or requested; do not wait if the last one left something."""
        if any(cursor != START for cursor in self._cursors.values()):
            return
        # Entries handed back after a tick that found nothing pending are seen before the next tick is due.
        news = [] if self._seen.some.is_set() else [self._seen.some.wait()]
        await first(self.called.wait(), asyncio.sleep(max(self._idle / 2, _AT_LEAST)), *news)

    async def find_lost(self, received: Mapping[str, str]) -> None:
        """
        Find entries that were delivered to this consumer in a reply that never arrived; `tick` returns them.

        Args:
            received: By stream, the last entry that did arrive: lost entries come after it.
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
        Deliver the first of the waiting entries again, counting the delivery of those still this consumer's.

        As many as the rules allow together: a batch of one stream, but an entry near its last delivery alone.

        Args:
            isolated: Whether this process has nothing else in flight; the very last delivery requires that.
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
        """Note that the first of the waiting entries have been handled, or are no longer this consumer's."""
        self.waiting = self.waiting[number:]

    def let_go(self) -> None:
        """Leave the waiting entries pending, and let the next turn begin."""
        self.waiting = []
        self._handed_out.set()

    def held(self) -> Iterator[Entry]:
        """Yield the entries taken over and not handled yet."""
        return itertools.chain(self._due, self.waiting)

    def _hold(self, key: str, ids: Sequence[str]) -> list[Entry]:
        # Its own long-running entries look idle too if the heartbeat came late: they are already in flight.
        held = self._in_flight.ids()
        return [Entry(key, entry_id) for entry_id in ids if (key, entry_id) not in held]


class PendingSeen:
    """
    Remember when a consumer's groups were last seen with nothing pending.

    An entry that may be taken over has been pending for some time: if nothing was pending a moment ago,
    there is nothing to look for. An entry handed back may be taken over at once; the next look shows it.
    """

    def __init__(self) -> None:
        self._none_at = -math.inf
        self.some = asyncio.Event()
        """Set while entries may be pending."""
        self.some.set()

    def update(self, asked: float, *, is_none: bool) -> None:
        """
        Update with the result of a look at the pending entries.

        Args:
            asked: The earliest time it was taken, by `time.monotonic`.
            is_none: Whether nothing was pending in any of the groups.
        """
        if is_none:
            self._none_at = max(asked, self._none_at)
            self.some.clear()
        else:
            self._none_at = -math.inf
            self.some.set()

    def rules_out(self, seconds: float) -> bool:
        """Return whether no entry can have been pending for this long."""
        return time.monotonic() < self._none_at + seconds
