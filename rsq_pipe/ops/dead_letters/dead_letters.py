"""Dead letters: read the selected ones from their queues, page by page, in bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import ReplayError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_queue import DeadLetterQueue, find_queues
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, Selection, Sieve
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import range_reply
from rsq_pipe.streams.entry_pages import entry_pages
from rsq_pipe.streams.link import checked

PAGE = 100
"""Dead letters read at once."""

LONGEST_TURN = 0.01
"""Maximum seconds of work between two yields, approximately; one record's expression is not interrupted."""


class Page(Struct, frozen=True):
    """
    Hold some selected dead letters of one queue, in order.

    Args:
        queue: Their queue.
        letters: At least one.
    """

    queue: DeadLetterQueue
    letters: Sequence[DeadLetter]


class DeadLetters:
    """
    Hold the selected dead letters of a pipeline at one moment. Made by `find`.

    Args:
        client: The server.
        queues: The queues to read.
        selection: The dead letters to select.
        payloads: Decodes payloads.
    """

    def __init__(
        self,
        client: StreamClient,
        queues: Sequence[DeadLetterQueue],
        selection: Selection,
        payloads: Payloads,
    ) -> None:
        self.client = client
        self.queues = queues
        self.payloads = payloads
        self.sieve = Sieve(selection, payloads)
        """Of the last pass: dead letters for which the condition has no value."""
        self.selection = selection

    async def pages(self) -> AsyncIterator[Page]:
        """
        Read the selected dead letters, stage by stage, oldest first.

        Each call is a new pass. Those written after `find` are left out; those removed since are skipped.

        Redis: XRANGE COUNT 100.
        """
        self.sieve, turns = Sieve(self.selection, self.payloads), Turns()
        for queue in self.queues:
            async for letters in self._read(queue):
                found = []
                for letter in letters:
                    if self.sieve.passes(letter):
                        found.append(letter)
                    await turns.others()
                if found:
                    yield Page(queue, found)
                if self.sieve.is_full:
                    return

    async def missing(self) -> Counter[str]:
        """
        Count the letters that were named but are in no queue (any more), by the stage given with the name.

        Redis: like `pages`.
        """
        stages = self.selection.stages
        names = {name for name in self.selection.names if not stages or name.stage in ("", *stages)}
        if not names:
            return Counter()
        named = DeadLetters(self.client, self.queues, Selection(names=tuple(names)), self.payloads)
        async for page in named.pages():
            for letter in page.letters:
                names -= {DeadLetterName(letter.id), DeadLetterName(letter.id, letter.stage)}
        return Counter(name.stage for name in names)

    async def total(self) -> int:
        """
        Count all dead letters of the requested stages, matching or not.

        Redis: XLEN per stage.
        """
        execute = self.client.channel.execute
        return sum([await execute("XLEN", queue.key, key=queue.key) for queue in self.queues])

    async def _read(self, queue: DeadLetterQueue) -> AsyncIterator[list[DeadLetter]]:
        names = self.selection.names
        if names:
            mine = (name for name in names if name.stage in ("", queue.stage))
            ids = list(dict.fromkeys(name.id for name in mine if self._is_recent(name)))
            for at in range(0, len(ids), PAGE):
                yield await self._named(queue, ids[at : at + PAGE])
            return
        start = "-" if self.selection.since is None else f"{max(0, round(self.selection.since * 1000))}-0"
        if queue.newest:
            async for page in entry_pages(self.client.channel, queue.key, start, queue.newest, size=PAGE):
                yield [DeadLetter(queue.stage, entry) for entry in page]

    def _is_recent(self, name: DeadLetterName) -> bool:
        since = self.selection.since
        return since is None or int(name.id.split("-")[0]) >= round(since * 1000)

    async def _named(self, queue: DeadLetterQueue, ids: Sequence[str]) -> list[DeadLetter]:
        commands = [["XRANGE", queue.key, entry_id, entry_id] for entry_id in ids]
        replies = await self.client.channel.exchange(commands, key=queue.key)
        address = self.client.channel.address
        return [
            DeadLetter(queue.stage, entry)
            for reply in replies
            for entry in range_reply(queue.key, checked(reply, address))
        ]


async def find(
    client: StreamClient, pipeline: str, graph: Graph | None = None, selection: Selection | None = None
) -> DeadLetters:
    """
    Find a pipeline's dead letters.

    Args:
        client: The server.
        pipeline: The pipeline's name.
        graph: Its spec, if known; it says where a source writes to, and which stages are gone.
        selection: The dead letters to select; None for all.

    Raises:
        NeverRanError: The pipeline never ran here.
        ReplayError: A name means several dead letters.
        UnknownStageError: The pipeline has no such stage.
    """
    selection = selection or Selection()
    if selection.age is not None:
        seconds, micros = await client.channel.execute("TIME", key=Keyspace(pipeline).meta)
        selection = replace(selection, since=int(seconds) + int(micros) / 1e6 - selection.age)
    queues = await find_queues(client, pipeline, graph, selection.stages)
    payloads = Payloads(graph.serializer if graph else None)
    found = DeadLetters(client, queues, selection, payloads)
    await _refuse_unclear(found, selection)
    return found


async def _refuse_unclear(found: DeadLetters, selection: Selection) -> None:
    """Check that an id without a stage is in only one queue: ids are unique only per stream."""
    loose = tuple(name for name in selection.names if not name.stage)
    if not loose or len(found.queues) < 2:
        return
    owners: dict[str, str] = {}
    async for page in DeadLetters(found.client, found.queues, Selection(names=loose), found.payloads).pages():
        for letter in page.letters:
            other = owners.setdefault(letter.id, letter.stage)
            if other != letter.stage:
                raise ReplayError(
                    f"stages {other!r} and {letter.stage!r} both have a dead letter {letter.id}; "
                    f"write {letter.name}, or use --stage",
                    dead_letter=letter.id,
                )


class Turns:
    """Time a long loop over records, and yield to other tasks during it."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the loop has been running."""
        return time.monotonic() - self._began

    async def others(self) -> None:
        """Yield to other tasks if it is time; call this after each record."""
        if time.monotonic() - self._last >= LONGEST_TURN:
            await asyncio.sleep(0)
            self._last = time.monotonic()
