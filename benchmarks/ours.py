"""Our own contender: pipeline files, and how they are run."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import redis
import yaml

import rsq_pipe
from benchmarks.measure import BenchmarkError, Ended, Figures, Meter, holds, run
from rsq_pipe.runtime.runner import Runner
from rsq_pipe.spec.loader import load
from rsq_pipe.telemetry.observe import observe

# The command that stands beside the Python that runs the benchmarks.
RSQ_PIPE = Path(sys.executable).parent / "rsq-pipe"
HANDLERS = "def touch(record):\n    record['quantity'] += 1\n    return record\n"
CALLS = {"one": {"call": "handlers:touch"}, "two": {"call": "handlers:touch"}, "three": {"call": "handlers:touch"}}
# More than any benchmark leaves in a stream that outsiders write or read.
ROOM = 10_000_000


def project(folder: Path, pipeline: str, stages: dict[str, Any], **settings: Any) -> Path:
    """Write a pipeline file and its handlers into a folder, and return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").touch()
    (folder / "handlers.py").write_text(HANDLERS)
    path = folder / "pipeline.yaml"
    path.write_text(
        yaml.safe_dump({"version": 1, "pipeline": pipeline, **settings, "stages": stages}, sort_keys=False)
    )
    return path


def three_calls(source: str, target: str) -> dict[str, Any]:
    """Return three `call` stages between two streams."""
    stages: dict[str, dict[str, Any]] = {name: dict(stage) for name, stage in CALLS.items()}
    stages["one"] = {"from": {"stream": source}, **stages["one"]}
    stages["three"]["to"] = {"stream": target}
    return stages


def run_to_end(spec: Path, url: str, *options: str, environ: dict[str, str] | None = None) -> Ended:
    """Run a pipeline whose source ends, as a command."""
    return run(run_command(spec, url, "--fresh", "--yes", *options), spec.parent, environ)


def run_command(spec: Path, url: str, *options: str) -> list[str | Path]:
    """Return the command line that runs a pipeline."""
    return [RSQ_PIPE, "run", spec, "--redis", url, *options]


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


async def _run_here(graph: Any, observer: Any, url: str, target: str, total: int, first: int) -> Figures:
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
