"""Shop: a pipeline that prices orders, and its dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rsq_pipe.engine.changes.provision import lay
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letters import DeadLetters, find
from rsq_pipe.ops.dead_letters.edits import Edits
from rsq_pipe.ops.dead_letters.progress import Progress
from rsq_pipe.ops.dead_letters.replay import preview_replay, replay
from rsq_pipe.ops.dead_letters.selection import Selection
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.headers import ATTEMPTS, RID
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Output
from tests.integration.engine.lab import Lab

NO_PRICE = ValueError("there is no price")


class Shop(Lab):
    """Hold a pipeline of three stages: read, price, out. `price` fails records without a price."""

    def __init__(self, root: Path, pipeline: str, url: str) -> None:
        super().__init__(root, pipeline, url)
        self.spec(
            """
            read: {source: {type: jsonl, path: '*.jsonl'}}
            price: {call: 'handlers:price', retry: {attempts: 1}}
            out: {sink: {type: jsonl, path: out/all.jsonl}}
            """
        )
        self.handlers(
            """
            def price(order: dict) -> dict:
                if order.get("price") is None:
                    raise ValueError(f"order {order['n']} has no price")
                return {**order, "total": 2 * order["price"]}
            """
        )

    async def add_letters(self, numbers: Iterable[int], stage: str = "price", **headers: str) -> list[str]:
        """Write dead letters with the payloads {"n": NUMBER}, without running anything; return their ids."""
        await lay(self.client, self.graph)
        await self.redis("HSET", self.key("meta"), f"{stage}:dead", "1")
        key = self.key(f"{stage}:dlq")
        outputs = [self._dead(key, stage, number, headers) for number in numbers]
        commands = [["XADD", key, "*", *output.fields] for output in outputs]
        return [reply.decode() for reply in await self.client.channel.exchange(commands, key=key)]

    def _dead(self, key: str, stage: str, number: int, headers: dict[str, str]) -> Output:
        raw = b'{"n":%d}' % number
        headers = {RID: f"read:{number}", ATTEMPTS: "2"} | headers
        failed = StreamMessage("1-0", None, headers=headers, stream=self.key("read"), raw=raw)
        return dead_letter(key, failed, reason="handler_error", stage=stage, error=NO_PRICE, attempts=3)

    async def find(
        self, *, client: StreamClient | None = None, by_name: bool = False, **selection: Any
    ) -> DeadLetters:
        graph = None if by_name else self.graph
        return await find(client or self.client, self.pipeline, graph, Selection(**selection))

    async def letters(self, **selection: Any) -> list[DeadLetter]:
        found = await self.find(**selection)
        return [letter async for page in found.pages() for letter in page.letters]

    async def replay(self, found: DeadLetters | None = None, **fields: Any) -> Progress:
        """Replay, with fields set in the payloads."""
        progress = Progress()
        await replay(found or await self.find(), Edits.of([], {}, fields), progress)
        return progress

    async def plan(self, **selection: Any) -> Any:
        return await preview_replay(await self.find(**selection), Edits())

    async def rids(self, name: str) -> Sequence[str]:
        """Read the record ids in one of the pipeline's streams."""
        return [fields[RID] for _, fields in await self.entries(self.key(name))]
