"""Consumers in tests: handlers that remember, and a block within which consumers run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.consumer import StreamConsumer
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Output, Part, Settlement

GROUP = "g"


class Recorder:
    """A handler that remembers what it was given, and finishes what `finishes` returns."""

    def __init__(self, finishes: Callable[[StreamMessage], bool] = lambda message: True) -> None:
        self.messages: list[StreamMessage] = []
        self.batches: list[int] = []
        self._finishes = finishes

    async def __call__(self, messages: list[StreamMessage]) -> list[str]:
        self.messages += messages
        self.batches.append(len(messages))
        return [message.id for message in messages if self._finishes(message)]

    @property
    def numbers(self) -> list[int]:
        return [message.data["n"] for message in self.messages]


class Holdup:
    """A handler that holds its batch until told; `started` is set once it has one."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.may_end = asyncio.Event()
        self.handled: list[int] = []

    async def __call__(self, messages: list[StreamMessage]) -> list[str]:
        self.handled += [message.data["n"] for message in messages]
        self.started.set()
        await self.may_end.wait()
        return [message.id for message in messages]


class DeadLetters:
    """A dead-letter handler that remembers."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, str]] = []

    async def __call__(self, message: StreamMessage, reason: str) -> None:
        self.taken.append((message.data, reason))


def copy_to(target: str) -> Callable[[list[StreamMessage]], Any]:
    """Make a handler that settles each message with a copy of it in `target`."""

    async def handler(messages: list[StreamMessage]) -> Settlement:
        return Settlement([copied(message, target) for message in messages])

    return handler


def copied(message: StreamMessage, target: str) -> Part:
    entry = Entry(message.stream, message.id, message.delivery_count)
    return Part((entry,), [Output(target, ["data", message.raw])])


def settings(**changes: Any) -> ConsumerConfig:
    """Make a configuration for tests: short waits."""
    short: dict[str, Any] = {"group": GROUP, "block_ms": 500, "min_idle_claim_ms": 200}
    return ConsumerConfig(**short | changes)


@asynccontextmanager
async def running(*consumers: StreamConsumer) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Run consumers during the block, and stop them with it; what they raised is raised."""
    tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
    try:
        yield tasks
    finally:
        for consumer in consumers:
            consumer.stop()
        await asyncio.wait(tasks, timeout=10.0)
    for task in tasks:
        task.result()


async def numbers_in(client: StreamClient, stream: str) -> list[int]:
    """Read the `n` of every record of a stream."""
    reply = await client.channel.execute("XRANGE", client.key(stream), "-", "+", key=client.key(stream))
    return [int(fields[1].split(b":")[1].rstrip(b"}")) for _, fields in reply]


async def fields_in(client: StreamClient, stream: str) -> list[dict[str, str]]:
    """Read the fields of every entry of a stream."""
    reply = await client.channel.execute("XRANGE", client.key(stream), "-", "+", key=client.key(stream))
    texts = [[part.decode(errors="backslashreplace") for part in fields] for _, fields in reply]
    return [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in texts]


async def pending(client: StreamClient, stream: str, group: str = GROUP) -> int:
    """Count what a group has not acknowledged."""
    return len(await client.pending_range(stream, group, count=10_000))
