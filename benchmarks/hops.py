"""Records per second through three stages in one process, beside the package our library is named after.

The same job for everyone: 5-field JSON records stand in a stream; three consumers in one process read a batch
each, change a field and hand the records on; the clock stops when the last stream holds them all. Contenders
take turns, so that a machine that slows down slows all of them; what counts is the ratio within one run.

    peer        redis-stream-queue 0.1.3: handler pushes to the next stream, returns the ids
    same code   the same program on rsq_pipe after changing the import
    settled     a Settlement a batch: outputs and acknowledgement in one step, exactly once
    pipeline    the runner on a pipeline file: settled, with backpressure, retention, counters
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import rsq_pipe
from rsq_pipe.runtime.runner import Runner
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.settlement import Entry, Output, Part, Settlement
from tests.support.server import StreamServer, binaries

STAGES = 3
names = (f"{{bench-{number}}}" for number in itertools.count())

PIPELINE = """
version: 1
pipeline: {name}
max_backlog: 1000000
defaults: {{batch: {{size: {batch}, wait: 0ms}}}}
stages:
  one: {{from: {{stream: "{source}"}}, map: {{amount: "amount + 1"}}}}
  two: {{map: {{amount: "amount + 1"}}}}
  three: {{map: {{amount: "amount + 1"}}, to: {{stream: "{target}"}}}}
"""


def record(number: int) -> dict[str, Any]:
    """Make one record, such as an order's line."""
    return {
        "id": number,
        "name": f"customer {number}",
        "amount": number * 0.5,
        "tags": ["a", "b"],
        "country": "Norway",
    }


async def fill(url: str, stream: str, total: int) -> None:
    """Put the records into the first stream."""
    async with rsq_pipe.StreamClient.from_url(url) as client:
        producer = rsq_pipe.StreamProducer(client, stream)
        for start in range(0, total, 1000):
            await producer.push_many([record(number) for number in range(start, min(start + 1000, total))])


async def full(url: str, stream: str, total: int) -> None:
    """Wait until the last stream holds every record."""
    async with rsq_pipe.StreamClient.from_url(url) as client:
        while await client.stream_len(stream) < total:  # noqa: ASYNC110  another process sets no event
            await asyncio.sleep(0.02)


async def chain(library: Any, url: str, total: int, batch: int) -> float:
    """Run three consumers that push to the next stream and return the ids."""
    tag = next(names)
    streams = [f"{tag}:{number}" for number in range(STAGES + 1)]
    await fill(url, streams[0], total)
    client = library.StreamClient.from_url(url)

    def consumer(source: str, target: str) -> Any:
        producer = library.StreamProducer(client, target)

        async def handler(messages: list[Any]) -> list[str]:
            for message in messages:
                message.data["amount"] += 1
            await producer.push_many([message.data for message in messages])
            return [message.id for message in messages]

        config = library.ConsumerConfig(group="g", batch_size=batch, block_ms=1000)
        return library.StreamConsumer(client, source, config, handler)

    consumers = [consumer(*pair) for pair in itertools.pairwise(streams)]
    return await timed(consumers, url, streams[-1], total, client.close)


async def settled(url: str, total: int, batch: int) -> float:
    """Run three consumers that settle."""
    tag = next(names)
    streams = [f"{tag}:{number}" for number in range(STAGES + 1)]
    await fill(url, streams[0], total)
    client = rsq_pipe.StreamClient.from_url(url)

    def consumer(source: str, target: str) -> rsq_pipe.StreamConsumer:
        producer = rsq_pipe.StreamProducer(client, target)

        async def handler(messages: list[rsq_pipe.StreamMessage]) -> Settlement:
            parts = []
            for message in messages:
                message.data["amount"] += 1
                output: Output = producer.entry(message.data, message.headers)
                parts.append(Part((Entry(message.stream, message.id, message.delivery_count),), (output,)))
            return Settlement(parts)

        config = rsq_pipe.ConsumerConfig(group="g", batch_size=batch, block_ms=1000)
        return rsq_pipe.StreamConsumer(client, source, config, handler)

    consumers = [consumer(*pair) for pair in itertools.pairwise(streams)]
    return await timed(consumers, url, streams[-1], total, client.close)


async def pipeline(url: str, total: int, batch: int) -> float:
    """Run the same job as a pipeline file, with the collector calmed as `rsq-pipe run` does."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        return await _pipeline(url, total, batch)
    finally:
        gc.set_threshold(*usual)


async def _pipeline(url: str, total: int, batch: int) -> float:
    tag = next(names)
    name = tag.strip("{}")
    source, target = f"{name}-in", f"{name}-out"
    await fill(url, source, total)
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        spec = Path(folder) / "bench.yaml"
        spec.write_text(PIPELINE.format(name=name, source=source, target=target, batch=batch))
        client = rsq_pipe.StreamClient.from_url(url)
        runner = Runner(load(spec), client)
        return await timed([runner], url, target, total, client.close)


async def timed(
    workers: Sequence[Any], url: str, last: str, total: int, close: Callable[[], Awaitable[None]]
) -> float:
    """Run the workers, and return the seconds until the last stream is full."""
    began = time.perf_counter()
    tasks = [asyncio.ensure_future(worker.run()) for worker in workers]
    await full(url, last, total)
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.stop()
    await asyncio.wait(tasks, timeout=5)  # the peer may swallow a cancellation, so it is asked first
    await close()
    return seconds


def main() -> None:
    """Let the contenders take turns and print rates and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    total, batch = options.records, options.batch
    peer = importlib.import_module("redis_stream_queue")
    # Over TCP, since the peer cannot connect to a unix socket.
    with StreamServer(binaries()["valkey"], tcp=True, appendonly=True) as server:
        url = server.tcp_url
        contenders: dict[str, Callable[[], Coroutine[Any, Any, float]]] = {
            "peer": lambda: chain(peer, url, total, batch),
            "same code": lambda: chain(rsq_pipe, url, total, batch),
            "settled": lambda: settled(url, total, batch),
            "pipeline": lambda: pipeline(url, total, batch),
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, run in contenders.items():
                seconds[name].append(asyncio.run(run()))
    for name, times in seconds.items():
        ratio = statistics.median(base / own for base, own in zip(seconds["peer"], times, strict=True))
        rate = total / statistics.median(times)
        print(f"{name:<10} {rate:>9,.0f} records/s through {STAGES} stages   {ratio:5.1f} x the peer")


if __name__ == "__main__":
    main()
