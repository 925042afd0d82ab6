"""dedupe, file to file, with records of which a third are duplicates, compared with a Python loop with a set.

loop       keeps the keys in a set, in memory, and forgets them when it ends
dedupe     `dedupe: {key: id, within: 24h}`; the server's memory is that of its keys only
map        the same pipeline with a `map` in its own worker instead: what a stage costs by itself
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import redis

from benchmarks import ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, Stopwatch, rates, server_cpu

PIPELINE = "dedupe"


def write(path: Path, total: int) -> int:
    """Write the records, and return how many keys they have."""
    keys: set[int] = set()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for n in range(total):
            # Every third record has the key of one that was written long before.
            key = n * 2 // 3 if n % 3 else n * 2 // 3 // 2
            keys.add(key)
            file.write(json.dumps({"id": f"order-{key:08d}", "n": n}, separators=(",", ":")) + "\n")
    return len(keys)


def loop(folder: Path, total: int) -> Figures:
    """Do by hand what the pipeline does, except surviving failures."""
    watch = Stopwatch()
    seen: set[str] = set()
    with (folder / "in.jsonl").open() as source, (folder / "loop.jsonl").open("w") as target:
        for line in source:
            record = json.loads(line)
            if record["id"] not in seen:
                seen.add(record["id"])
                target.write(json.dumps(record, separators=(",", ":")) + "\n")
    return watch.figures(total)


def pipeline(url: str, folder: Path, total: int, name: str, stage: dict[str, Any]) -> Figures:
    """Run a pipeline with one stage in the middle."""
    stages = {
        "read": {"source": {"type": "jsonl", "path": str(folder / "in.jsonl")}},
        "once": stage,
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    spec = ours.project(folder / name, f"{PIPELINE}-{name}", stages)
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url, "--json")
    seconds = json.loads((spec.parent / "log").read_text().splitlines()[-1])["seconds"]
    figures = rates(total, seconds, ended.cpu, server_cpu(url) - before)
    return figures | {"B/key": memory(url, f"{PIPELINE}-{name}")} if name == "dedupe" else figures


def memory(url: str, name: str) -> float:
    """Return how many bytes of the server each key takes."""
    with redis.Redis.from_url(url) as client:
        held = [client.memory_usage(key, samples=0) for key in client.scan_iter(f"{{{name}}}:once:state:*")]
        keys = int(client.hget(f"{{{name}}}:once:state", "keys"))
    if not keys:
        raise BenchmarkError("no key is remembered")
    return float(sum(held) / keys)


def main(harness: Harness) -> None:
    total = harness.options.size(1_000_000, 6_000)
    folder = harness.path("dedupe")
    keys = write(folder / "in.jsonl", total)
    run = partial(pipeline, harness.url, folder, total)
    contenders = {
        "loop": partial(loop, folder, total),
        "dedupe": partial(run, "dedupe", {"dedupe": {"key": "id", "within": "24h", "max_keys": 10_000_000}}),
        "map": partial(run, "map", {"map": {"m": "n"}, "fuse": False}),
    }
    title = f"{total:,} records of {keys:,} keys through dedupe, file to file"
    harness.turns("dedupe", title, contenders, base="loop")


if __name__ == "__main__":
    command(main, __doc__)
