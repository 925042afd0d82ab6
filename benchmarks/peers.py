"""The peers: the same three stages, as in the manuals of redis-stream-queue and FastStream."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import orders
from benchmarks.measure import Figures, Stopwatch, holds

BATCH = 1000
# By default, the peer trims streams to 100,000 entries, read or not; no benchmark has so many.
KEEP = 10_000_000


async def queue_chain(url: str, streams: Sequence[str], settings: Any) -> tuple[list[Any], Any]:
    """Make redis-stream-queue's three consumers: each pushes to the next stream, and returns the ids."""
    library = importlib.import_module("redis_stream_queue")
    client = library.StreamClient.from_url(url)

    def consumer(source: str, target: str) -> Any:
        producer = library.StreamProducer(client, target, max_len=KEEP)

        async def handler(messages: list[Any]) -> list[str]:
            for message in messages:
                message.data["quantity"] += 1
            await producer.push_many([message.data for message in messages])
            return [message.id for message in messages]

        return library.StreamConsumer(client, source, settings, handler)

    return [consumer(*pair) for pair in itertools.pairwise(streams)], client


def fast() -> Any:
    """Return the settings with which redis-stream-queue is fastest without losing anything."""
    library = importlib.import_module("redis_stream_queue")
    return library.ConsumerConfig(group="g", batch_size=BATCH, block_ms=1000, max_stream_size=KEEP)


def queue(url: str, total: int) -> Figures:
    """Run redis-stream-queue from stream to stream."""
    streams = [f"queue-{number}" for number in range(4)]
    orders.push(url, streams[0], total)
    return asyncio.run(_queue(url, streams, total))


async def _queue(url: str, streams: Sequence[str], total: int) -> Figures:
    consumers, client = await queue_chain(url, streams, fast())
    watch = Stopwatch(url)
    running = asyncio.gather(*(consumer.run() for consumer in consumers))
    await holds(client.stream_len, streams[-1], total, running.done)
    figures = watch.figures(total)
    for consumer in consumers:
        consumer.stop()
    await asyncio.wait([running], timeout=5)
    return figures


def faststream(url: str, total: int) -> Figures:
    """Run FastStream from stream to stream: it reads in batches, and writes in a pipeline."""
    return asyncio.run(_faststream(url, [f"faststream-{number}" for number in range(4)], total))


async def _faststream(url: str, streams: Sequence[str], total: int) -> Figures:
    library = importlib.import_module("faststream.redis")
    redis = importlib.import_module("redis.asyncio")
    broker = library.RedisBroker(url, logger=None)
    client = redis.Redis.from_url(url)

    def subscribe(source: str, target: str) -> None:
        stream = library.StreamSub(
            source, group="g", consumer="c", batch=True, max_records=BATCH, last_id=">", polling_interval=10
        )

        @broker.subscriber(stream=stream)  # type: ignore[untyped-decorator, unused-ignore]
        async def handler(records: list[dict[str, Any]]) -> None:
            async with client.pipeline(transaction=False) as pipeline:
                for record in records:
                    record["quantity"] += 1
                    await broker.publish(record, stream=target, pipeline=pipeline)
                await pipeline.execute()

    for pair in itertools.pairwise(streams):
        subscribe(*pair)
    for name in streams[:-1]:
        await client.xgroup_create(name, "g", id="0", mkstream=True)
    await broker.connect()
    for first in range(0, total, BATCH):
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + BATCH, total)):
                await broker.publish(orders.order(number), stream=streams[0], pipeline=pipeline)
            await pipeline.execute()
    watch = Stopwatch(url)
    await broker.start()
    await holds(client.xlen, streams[-1], total, lambda: False)
    figures = watch.figures(total)
    await broker.stop()
    await client.aclose()
    return figures


def queue_to_file(url: str, path: Path, total: int) -> None:
    """Run redis-stream-queue's three consumers and one that writes a file, until it has all records."""
    asyncio.run(_queue_to_file(url, path, total))


async def _queue_to_file(url: str, path: Path, total: int) -> None:
    library = importlib.import_module("redis_stream_queue")
    consumers, client = await queue_chain(url, [f"queue-{number}" for number in range(4)], fast())
    done = asyncio.Event()
    written = 0
    with path.open("w", encoding="utf-8") as file:

        async def write(messages: list[Any]) -> list[str]:
            nonlocal written
            file.writelines(json.dumps(message.data) + "\n" for message in messages)
            file.flush()
            written += len(messages)
            if written >= total:
                done.set()
            return [message.id for message in messages]

        consumers.append(library.StreamConsumer(client, "queue-3", fast(), write))
        running = asyncio.gather(*(consumer.run() for consumer in consumers))
        waiting: asyncio.Future[Any] = asyncio.ensure_future(done.wait())
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        for consumer in consumers:
            consumer.stop()
        await asyncio.wait([running], timeout=5)


def push_file(url: str, path: Path) -> None:
    """Push the lines of a file to the first stream of redis-stream-queue, 1,000 at a time."""
    asyncio.run(_push_file(url, path))


async def _push_file(url: str, path: Path) -> None:
    library = importlib.import_module("redis_stream_queue")
    producer = library.StreamProducer(library.StreamClient.from_url(url), "queue-0", max_len=KEEP)
    with path.open(encoding="utf-8") as file:
        while records := [json.loads(line) for line in itertools.islice(file, 1000)]:
            await producer.push_many(records)
    await producer.close()


async def _serve(url: str, streams: Sequence[str]) -> None:
    """Run three consumers with the default settings until the process is told to end."""
    library = importlib.import_module("redis_stream_queue")
    consumers, _ = await queue_chain(url, streams, library.ConsumerConfig(group="g"))
    await asyncio.gather(*(consumer.run() for consumer in consumers))


def main(what: str, url: str, *arguments: str) -> None:
    """Act as a process of redis-stream-queue: `serve`, `push` or `write`."""
    if what == "serve":
        asyncio.run(_serve(url, arguments))
    elif what == "push":
        push_file(url, Path(arguments[0]))
    else:
        queue_to_file(url, Path(arguments[0]), int(arguments[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
