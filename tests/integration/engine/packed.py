"""PackedLab: a pipeline whose streams a test fills with packs itself, counted as settlements count them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rsq_pipe.engine.state.count_fields import appended, settled
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.streams.entry import RawEntry, read_reply
from tests.integration.engine.lab import Lab


class PackedLab(Lab):
    """Write, read and settle packs of numbered records."""

    def __init__(self, root: Path, pipeline: str, url: str) -> None:
        super().__init__(root, pipeline, url)
        self._packs = JsonPacks()
        self._next: dict[str, int] = {}

    async def append(
        self, stream: str, size: int, headers: Mapping[int, Mapping[str, str]] | None = None
    ) -> str:
        """Write one pack of the next records {"n": NUMBER} with ids read:NUMBER; return its entry id."""
        key, first = self.key(stream), self._next.get(stream, 0)
        numbers = range(first, first + size)
        self._next[stream] = numbers.stop
        raw = self._packs.encode([{"n": n} for n in numbers], [f"read:{n}" for n in numbers], headers or {})
        replies = await self.client.channel.transaction(
            [
                ["XADD", key, "*", "rsq-pack", size, "data", raw],
                ["HINCRBY", self.key("meta"), appended(key), size],
            ],
            key=key,
        )
        entry_id: str = replies[-1][0].decode()
        return entry_id

    async def read(self, stage: str, stream: str, count: int, consumer: str = "reader") -> list[RawEntry]:
        """Read entries through a stage's group."""
        words = [
            "XREADGROUP",
            "GROUP",
            stage,
            consumer,
            "COUNT",
            str(count),
            "STREAMS",
            self.key(stream),
            ">",
        ]
        return read_reply(await self.redis(*words)).entries

    async def settle(self, stage: str, stream: str, *entries: RawEntry) -> None:
        """Acknowledge entries and count their records."""
        key, records = self.key(stream), sum(entry.records for entry in entries)
        await self.client.channel.transaction(
            [
                ["XACK", key, stage, *(entry.id for entry in entries)],
                ["HINCRBY", self.key("meta"), settled(stage, key), records],
            ],
            key=key,
        )

    async def field(self, name: str) -> str | None:
        """Read a field of the pipeline's hash."""
        found = await self.redis("HGET", self.key("meta"), name)
        return None if found is None else str(found.decode())
