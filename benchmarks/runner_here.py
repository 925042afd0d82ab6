"""Our own contender without the start of a process: a pipeline run where the clock is."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import rsq_pipe
from benchmarks.measure import Figures, Meter, holds
from rsq_pipe.engine.runner import Runner
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.observe import observe
from rsq_pipe.telemetry.observer import Observer


def run_here(spec: Path, url: str, target: str, total: int, *, first: int = 0) -> Figures:
    """
    Run a pipeline in this process, as `rsq-pipe run` does, until a stream holds all records.

    Args:
        spec: The pipeline file.
        url: The server.
        target: The stream.
        total: The records.
        first: How many are there when the clock starts; 0 to measure the start of the pipeline as well.

    Returns:
        The rate and the CPU time per record, ours and the server's.
    """
    graph = load(spec)
    with observe(graph, os.environ) as observer:
        gc.freeze()
        gc.set_threshold(100_000, 50, 100)
        return asyncio.run(_run_here(graph, observer, url, target, total, first))


async def _run_here(  # noqa: PLR0917  as run_here
    graph: Graph, observer: Observer, url: str, target: str, total: int, first: int
) -> Figures:
    async with rsq_pipe.StreamClient.from_url(url) as client, rsq_pipe.StreamClient.from_url(url) as other:
        runner = Runner(graph, client, observer=observer)
        meter = Meter(url)
        running = asyncio.ensure_future(runner.run())
        if first:
            first = await holds(other.stream_len, target, first, running.done)
            meter = Meter(url)
        await holds(other.stream_len, target, total, running.done)
        figures = meter.figures(total - first)
        runner.stop()
        await running
    return figures
