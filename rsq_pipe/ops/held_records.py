"""HeldRecords: reads all that one stage holds, whether or not its file still has it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgpack

from rsq_pipe.engine.encoding.codecs import Unfolding
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_json import described
from rsq_pipe.ops.dead_letters.payload import Payloads, as_json
from rsq_pipe.ops.remembered import Description
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.entry_pages import entry_pages

PAGE = 100
"""Entries read at once."""


class HeldRecords:
    """
    Read everything that one stage holds, and change nothing.

    Args:
        client: The server.
        graph: The pipeline.
        stage: The stage's name.
        describe: Shows what the stage remembers of a key; None if that is unknown.
    """

    def __init__(self, client: StreamClient, graph: Graph, stage: str, describe: Description | None) -> None:
        self._client = client
        self.stage = stage
        self._describe = describe
        self._payloads = Payloads(graph.serializer)
        self._singles = Unfolding(graph).singles
        self.prefix = f"{{{graph.pipeline}}}:{stage}"
        self.ends: dict[str, str] = {}
        """Stream -> the last id that goes; entries written from outside after that are not read."""

    async def newest(self, stream: str) -> str:
        """Return the id of a stream's last entry."""
        found = await self._client.channel.execute("XREVRANGE", stream, "+", "-", "COUNT", 1, key=stream)
        return found[0][0].decode() if found else "0-0"

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """Describe each record: its location, its headers, and the record, or its bytes in base64."""
        for stream, end in self.ends.items():
            async for entry in self._pending(stream):
                for single in self._singles(entry):
                    yield self._line("pending", single)
            async for entry in self._undelivered(stream, end):
                for single in self._singles(entry):
                    yield self._line("waiting", single)
        async for entry in self._retries():
            yield self._line("retry", entry)
        dlq = f"{self.prefix}:dlq"
        async for entry in self._range(dlq, "-", "+"):
            yield {"where": "dead", **described(DeadLetter(self.stage, entry), self._payloads)}

    async def _pending(self, stream: str) -> AsyncIterator[RawEntry]:
        start = "-"
        groups = [info.name for info in await self._client.group_info(stream)]
        while self.stage in groups:
            page = await self._client.pending_range(stream, self.stage, start, count=PAGE)
            for message in page:
                async for entry in self._range(stream, message.id, message.id):
                    yield entry
            if len(page) < PAGE:
                return
            start = f"({page[-1].id}"

    async def _undelivered(self, stream: str, end: str) -> AsyncIterator[RawEntry]:
        for info in await self._client.group_info(stream):
            if info.name == self.stage:
                async for entry in self._range(stream, f"({info.last_delivered_id}", end):
                    yield entry

    async def _range(self, stream: str, start: str, end: str) -> AsyncIterator[RawEntry]:
        async for page in entry_pages(self._client.channel, stream, start, end, size=PAGE):
            for entry in page:
                yield entry

    async def _retries(self) -> AsyncIterator[RawEntry]:
        key, at = f"{self.prefix}:retry", 0
        while members := await self._client.channel.execute("ZRANGE", key, at, at + PAGE - 1, key=key):
            for member in members:
                _, *fields = msgpack.unpackb(member, raw=True)
                yield RawEntry(key, "", fields)
            at += PAGE

    async def remembered(self, keys: Sequence[str]) -> AsyncIterator[dict[str, Any]]:
        """Describe each key of its state, with the value, and its bytes in base64."""
        for key in keys:
            bucket, cursor = key.removeprefix(f"{self.prefix}:state:"), b""
            if bucket == key or await self._client.channel.execute("TYPE", key, key=key) != b"hash":
                continue
            while cursor != b"0":
                cursor, flat = await self._client.channel.execute(
                    "HSCAN", key, cursor or b"0", "COUNT", PAGE, key=key
                )
                for name, value in zip(flat[::2], flat[1::2], strict=True):
                    line = {"where": "state", "stage": self.stage, "part": bucket}
                    line["key"] = name.decode(errors="backslashreplace")
                    line["raw"] = base64.b64encode(value).decode()
                    yield line | self._shown(bucket, name, value)

    def _shown(self, bucket: str, name: bytes, value: bytes) -> dict[str, Any]:
        """Return the value of a key of the state as JSON, if it can be decoded."""
        if self._describe is None:
            return {}
        try:
            return as_json({"value": self._describe(bucket, name, value)}) or {}
        except Exception:  # noqa: BLE001  another release may have written it; its bytes are exported
            return {}

    def _line(self, where: str, entry: RawEntry) -> dict[str, Any]:
        headers: Mapping[str, str] = entry.headers
        found: dict[str, Any] = {"where": where, "stage": self.stage, "stream": entry.stream, "id": entry.id}
        found["headers"] = dict(headers)
        record = as_json(self._payloads.decode(entry.data))
        if record is None:
            return found | {"raw": base64.b64encode(entry.data).decode()}
        return found | {"payload": record}
