"""Flights counted by carrier and day: `aggregate` compared with a hand-written loop, and Beam YAML's Combine.

    python -m benchmarks.delays --flights flights.csv.gz

The start and the end of each process are included. Also measured: the server memory a group takes.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import sys
from functools import partial
from pathlib import Path

import redis

from benchmarks import ours
from benchmarks.harness import Harness, command
from benchmarks.measure import BenchmarkError, Figures, Job, rates, server_cpu
from benchmarks.program import Program
from rsq_pipe.model.folds import OF_VALUES
from rsq_pipe.model.partials import letters, packed
from rsq_pipe.model.state import StateChange
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Settlement, StateOf

PLAIN = "plain Python loop"
HERE = Path(__file__).parent
LOOP, OURS, BEAM = HERE / "delays_loop.py", HERE / "delays.yaml", HERE / "delays_beam.yaml"

Rows = dict[tuple[str, str], tuple[int, float, int, int]]


def plain(flights: Path, folder: Path, total: int) -> Figures:
    folder.mkdir(exist_ok=True)
    ended = Program([sys.executable, LOOP, flights, folder / "out/daily.csv"], folder).wait()
    return rates(total, ended.seconds, ended.cpu)


def pipeline(url: str, flights: Path, folder: Path, total: int, *, processes: int = 1) -> Figures:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").touch()
    spec = folder / "delays.yaml"
    spec.write_text(OURS.read_text().replace("FLIGHTS", str(flights)))
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url, "--processes", str(processes))
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def beam(python: Path, folder: Path, total: int) -> Figures:
    program: list[str | Path] = [python, "-m", "apache_beam.yaml.main", "--yaml_pipeline_file=delays.yaml"]
    ended = Program([*program, "--runner=FnApiRunner"], folder).wait()
    return rates(total, ended.seconds, ended.cpu)


def prepare_beam(flights: Path, folder: Path) -> Path:
    """Write Beam's pipeline, and unpack its file: with a packed one it silently leaves most of it out."""
    folder.mkdir()
    source = folder / "flights.csv"
    source.write_bytes(gzip.decompress(flights.read_bytes()))
    (folder / "delays.yaml").write_text(BEAM.read_text().replace("FLIGHTS", str(source)))
    return folder


def rows(path: Path) -> Rows:
    """Read what a contender wrote."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["carrier"], row["day"][:10]): (
                *(int(float(row["flights"])), round(float(row["mean"]), 9)),
                *(int(float(row["worst"])), int(float(row["miles"]))),
            )
            for row in csv.DictReader(file)
        }


def compare(expected: Rows, path: Path) -> None:
    """Raise an error if a contender did not write what the loop wrote."""
    if (found := rows(path)) != expected:
        different = [key for key in expected if found.get(key) != expected[key]]
        raise BenchmarkError(f"{path} has {len(found)} rows of {len(expected)}, other: {different[:3]}")


# What is kept of a group -> its partials, for 100 numbers that all differ.
KEPT = {
    "count, sum": ["values", "sum"],
    "count, sum, min, max": ["values", "sum", "least", "greatest"],
    "median": ["sketch"],
    "count_distinct": ["distinct"],
}
KINDS = {"values": "count"}


def memory(url: str, folds: list[str], groups: int) -> Figures:
    """Put groups into a window, and ask how much memory that takes."""
    name = "{memory-of-groups}"
    numbers = [3 * n + 1 for n in range(100)]
    partials = packed([OF_VALUES[fold](numbers) for fold in folds])
    kinds = letters([KINDS.get(fold, fold) for fold in folds])

    async def fill() -> None:
        async with StreamClient.from_url(url) as client:
            for start in range(0, groups, 1_000):
                change = StateChange()
                change.equals("", {"closed": None})
                fields: dict[str | bytes, bytes] = {
                    f'["customer-{n:08}"]': partials for n in range(start, start + 1_000)
                }
                change.merge("0", kinds, fields)
                change.timer({"0": 1})
                state = StateOf(f"{name}:state", f"{name}:timers", change)
                await client.settle(Settlement(state=state), group="", consumer="")

    with redis.Redis.from_url(url) as client:
        before = client.info("memory")["used_memory_dataset"]
        asyncio.run(fill())
        held = client.info("memory")["used_memory_dataset"] - before
        client.delete(f"{name}:state", f"{name}:state:0", f"{name}:timers")
    return {"server bytes a group": held / groups, "of these its partials": float(len(partials))}


def main(harness: Harness) -> None:
    flights, folder = harness.options.flights, harness.path("delays")
    with gzip.open(flights, "rt", encoding="utf-8", newline="") as file:
        total = sum(1 for _ in csv.reader(file)) - 1
    run = partial(pipeline, harness.url, flights)
    contenders: dict[str, Job] = {
        PLAIN: partial(plain, flights, folder / "plain", total),
        "rsq-pipe": partial(run, folder / "one", total),
        "rsq-pipe, 2 processes": partial(run, folder / "two", total, processes=2),
    }
    if harness.options.beam and not harness.options.quick:
        prepared = prepare_beam(flights, folder / "beam")
        contenders["Beam YAML, direct runner"] = partial(beam, harness.options.beam, prepared, total)
    harness.turns("delays", f"{total:,} flights by carrier and day", contenders, base=PLAIN)
    expected = rows(folder / "plain/out/daily.csv")
    for name in ("one", "two"):
        compare(expected, folder / name / "out/daily.csv")
    for path in folder.glob("beam/out/daily.csv-*"):
        compare(expected, path)
    lines = {path.name: len(path.read_text().splitlines()) - 1 for path in (OURS, BEAM, LOOP)}
    print(f"lines without the first comment: {lines}")
    groups = harness.options.size(100_000, 2_000)
    kept: dict[str, Job] = {name: partial(memory, harness.url, folds, groups) for name, folds in KEPT.items()}
    harness.turns("groups", f"the server's memory, {groups:,} groups of 100 numbers", kept)


if __name__ == "__main__":
    command(main, __doc__)
