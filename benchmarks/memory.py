"""(f) Memory of the server and of the runner, per million records that wait between two stages.

A source fills the stream before a stage that is not running; then all stages run, and the records are
drained.
"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import redis

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import PATIENCE, Figures
from benchmarks.program import Program

MEBI = 1 << 20


def waiting(url: str, folder: Path, total: int, fields: int) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / f"orders-{fields}.jsonl")}},
        "work": {"call": "handlers:touch"},
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / f"fields-{fields}", "memory", stages, max_backlog=ours.ROOM)
    (spec.parent / "out.jsonl").unlink(missing_ok=True)
    with redis.Redis.from_url(url) as client:
        before = used(client)
        filling = Program(ours.run_command(spec, url, "--stage", "read"), spec.parent)
        try:
            said = f"{total} records wait"
            filling.until(lambda: lag(spec, url) >= total, said, patience=PATIENCE, pause=0.2)
            held = used(client) - before
            filled = filling.peak()
        finally:
            filling.stop()
        drained = Program(ours.run_command(spec, url), spec.parent).wait()
    return {
        "JSON MB per million": (folder / f"orders-{fields}.jsonl").stat().st_size / total,
        "server MB per million": held / total,
        "filling runner MiB": filled / MEBI,
        "draining runner MiB": drained.peak / MEBI,
    }


def used(client: redis.Redis) -> int:
    """Bytes of the server's data, without the buffers for its append-only file."""
    memory = client.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_aof_buffer"]) - int(memory["mem_clients_normal"])


def lag(spec: Path, url: str) -> int:
    """Return how many records the stage `work` has not read."""
    asked: list[str | Path] = [ours.RSQ_PIPE, "status", spec, "--redis", url, "--json"]
    said = subprocess.run(asked, capture_output=True, check=False).stdout
    stages = {stage["name"]: stage for stage in json.loads(said)["stages"]} if said else {}
    return stages["work"]["lag"] or 0 if stages else 0


def main(harness: Harness) -> None:
    total = harness.options.size(1_000_000, 20_000)
    folder = harness.path("memory")
    contenders = {}
    for fields in (8, 20):
        orders.write(folder / f"orders-{fields}.jsonl", total, fields)
        contenders[f"{fields} fields"] = partial(waiting, harness.url, folder, total, fields)
    harness.turns("memory", f"(f) {total:,} records waiting between two stages", contenders)


if __name__ == "__main__":
    command(main, __doc__)
