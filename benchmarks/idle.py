"""(h) How many commands per second the processes of a pipeline send while they have nothing to do."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import redis

from benchmarks import ours
from benchmarks.harness import ROOT, Harness, command
from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.program import Program

PEER = "redis-stream-queue, 3 stages"


def pipeline(url: str, count: int, processes: int, settled: float, seconds: float) -> Figures:
    stages = {f"stage-{number}": {"call": "handlers:touch"} for number in range(count)}
    first = {"from": {"stream": "idle-in"}, **stages["stage-0"]}
    with tempfile.TemporaryDirectory(prefix="rsq-") as name:
        spec = ours.project(Path(name), "idle", {**stages, "stage-0": first})
        running = [Program(ours.run_command(spec, url), Path(name)) for _ in range(processes)]
        return _counted(running, url, count, settled, seconds)


def queue(url: str, settled: float, seconds: float) -> Figures:
    streams = [f"idle-{number}" for number in range(4)]
    with tempfile.TemporaryDirectory(prefix="rsq-") as name:
        program = [sys.executable, "-m", "benchmarks.peers", "serve", url, *streams]
        process = Program(program, Path(name), {"PYTHONPATH": str(ROOT)})
        return _counted([process], url, 3, settled, seconds)


def _counted(processes: Sequence[Program], url: str, stages: int, settled: float, seconds: float) -> Figures:
    try:
        with redis.Redis.from_url(url) as client:
            said = f"{stages} stages have made their groups"
            processes[0].until(lambda: _groups(client) >= stages, said, patience=60, pause=0.05)
            time.sleep(settled)  # by now, what a process does once at its start is over
            before, watch = _commands(client), Stopwatch()
            time.sleep(seconds)
            # One of the commands between two looks is the first look itself.
            rate = (_commands(client) - before - 1) / watch.seconds
    finally:
        for process in processes:
            process.stop()
    return {"commands/s": rate, "a stage": rate / stages}


def _commands(client: redis.Redis) -> int:
    # Commands called by a script are counted as well.
    return int(client.info("stats")["total_commands_processed"])


def _groups(client: redis.Redis) -> int:
    return sum(len(client.xinfo_groups(key)) for key in client.scan_iter(_type="stream"))


def main(harness: Harness) -> None:
    settled, seconds = (0.5, 1.0) if harness.options.quick else (8.0, 10.0)
    sizes = (3,) if harness.options.quick else (3, 10, 30)
    contenders: dict[str, Job] = {PEER: partial(queue, harness.url, settled, seconds)}
    for processes in (1, 3):
        for size in sizes:
            name = f"rsq-pipe, {size} stages" + (f", {processes} processes" if processes > 1 else "")
            contenders[name] = partial(pipeline, harness.url, size, processes, settled, seconds)
    harness.turns("idle", f"(h) commands to the server in {seconds:g} s of nothing to do", contenders)


if __name__ == "__main__":
    command(main, __doc__)
