"""Our own contender without process start-up: a pipeline run in the process with the clock."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import structlog
from redis.asyncio import Redis

from benchmarks.measure import Figures, Stopwatch, holds
from rsq_pipe.engine.runner import Runner
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.telemetry.observe import observe

Count = Callable[[Redis, str], Awaitable[int]]


async def length(client: Redis, stream: str) -> int:
    """Count a stream's entries."""
    return int(await client.xlen(stream))


def run_here(
    spec: Path,
    url: str,
    target: str,
    total: int,
    *,
    stages: Sequence[str] | None = None,
    first: int = 0,
    count: Count = length,
) -> Figures:
    """
    Run a pipeline in this process, as `rsq-pipe run` does, until a stream holds all records.

    Args:
        spec: The pipeline file.
        url: The server.
        target: The stream, or what else `count` is to look at.
        total: How many records.
        stages: The stages to run; None for all.
        first: How many have arrived when the clock starts; 0 to measure the start of the pipeline as well.
        count: Counts the records that have arrived in the stream, or have left it.

    Returns:
        The rate and the CPU time per record, ours and the server's.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    graph = load(spec)
    with observe(graph, os.environ) as observer:
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        make = partial(Runner, graph, stages=stages, observer=observer)
        return asyncio.run(_run_here(make, url, target, total, first, count))


async def _run_here(  # noqa: PLR0917  as run_here
    make: Callable[[StreamClient], Runner], url: str, target: str, total: int, first: int, count: Count
) -> Figures:
    async with StreamClient.from_url(url) as client, Redis.from_url(url) as other:
        counted = partial(count, other)
        runner = make(client)
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
