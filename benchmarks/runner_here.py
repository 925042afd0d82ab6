"""Our own contender without process start-up: a pipeline run in the process with the clock."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from redis.asyncio import Redis

import rsq_pipe
from benchmarks.measure import Figures, Stopwatch, holds
from rsq_pipe.engine.runner import Runner
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.observe import observe
from rsq_pipe.telemetry.observer import Observer

Count = Callable[[Redis, str], Awaitable[int]]


async def length(client: Redis, stream: str) -> int:
    """Count a stream's entries."""
    return int(await client.xlen(stream))


def run_here(
    spec: Path, url: str, target: str, total: int, *, first: int = 0, count: Count = length
) -> Figures:
    """
    Run a pipeline in this process, as `rsq-pipe run` does, until a stream holds all records.

    Args:
        spec: The pipeline file.
        url: The server.
        target: The stream.
        total: How many records.
        first: How many have arrived when the clock starts; 0 to measure the start of the pipeline as well.
        count: Counts the records that have arrived in the stream, or have left it.

    Returns:
        The rate and the CPU time per record, ours and the server's.
    """
    graph = load(spec)
    with observe(graph, os.environ) as observer:
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        return asyncio.run(_run_here(graph, observer, url, target, total, first, count))


async def _run_here(  # noqa: PLR0917  as run_here
    graph: Graph, observer: Observer, url: str, target: str, total: int, first: int, count: Count
) -> Figures:
    async with rsq_pipe.StreamClient.from_url(url) as client, Redis.from_url(url) as other:
        counted = partial(count, other)
        runner = Runner(graph, client, observer=observer)
        watch = Stopwatch(url)
        running = asyncio.ensure_future(runner.run())
        if first:
            first = await holds(counted, target, first, running.done)
            watch = Stopwatch(url)
        await holds(counted, target, total, running.done)
        figures = watch.figures(total - first)
        runner.stop()
        await running
    return figures
