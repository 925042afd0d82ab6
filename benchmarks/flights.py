"""(c) A year of flights, csv.gz to three files: `pipelines/flights.yaml` compared with a hand-written loop.

    python -m benchmarks.flights --flights flights.csv.gz

The start and the end of each process are included. At the end the files that our contenders wrote are
compared with those of the plain loop: the same records, in any order. Beam's records are only
counted; it reads the file unpacked.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks import ours
from benchmarks.harness import ROOT, Harness, command
from benchmarks.measure import BenchmarkError, Figures, Job, rates, server_cpu
from benchmarks.program import Program

PLAIN = "plain Python loop"
AIRLINES = ROOT / "examples/flights/data/airlines.csv"
LOOP = Path(__file__).with_name("flights_loop.py")
BEAM = Path(__file__).with_name("flights_beam.yaml")
FILES = ("cancelled.jsonl", "delayed.csv", "on-time.csv")


def plain(flights: Path, folder: Path, total: int) -> Figures:
    folder.mkdir(exist_ok=True)
    ended = Program([sys.executable, LOOP, flights, AIRLINES, folder / "out"], folder).wait()
    return rates(total, ended.seconds, ended.cpu)


def pipeline(
    url: str, flights: Path, folder: Path, total: int, *, fuse: bool | None = None, processes: int = 1
) -> Figures:
    spec = _spec(flights, folder, fuse)
    before = server_cpu(url)
    ended = ours.run_to_end(spec, url, "--processes", str(processes))
    return rates(total, ended.seconds, ended.cpu, server_cpu(url) - before)


def _spec(flights: Path, folder: Path, fuse: bool | None) -> Path:
    """Write the example pipeline for this file, with the default settings."""
    given: dict[str, Any] = yaml.safe_load((ROOT / "pipelines/flights.yaml").read_text())
    stages = given["stages"]
    stages["read"]["source"]["path"] = str(flights)
    stages["carrier"]["call"] = "flight_handlers:name_carriers"
    stages["carrier"]["with"] = {"airlines": str(AIRLINES)}
    for stage in stages.values():
        if "sink" in stage:
            stage["sink"]["path"] = "out/" + Path(stage["sink"]["path"]).name
    defaults = {} if fuse is None else {"defaults": {"fuse": fuse}}
    spec = ours.project(folder, "flights", stages, **defaults)
    (folder / "flight_handlers.py").write_text((ROOT / "examples/flights/handlers.py").read_text())
    return spec


def beam(python: Path, folder: Path, total: int) -> Figures:
    program: list[str | Path] = [python, "-m", "apache_beam.yaml.main", "--yaml_pipeline_file=flights.yaml"]
    ended = Program([*program, "--runner=FnApiRunner"], folder).wait()
    lines = sum(len(path.read_bytes().splitlines()) for path in (folder / "out").glob("*-of-*"))
    headers = 2
    if lines != total + headers:
        raise BenchmarkError(f"Beam wrote {lines - headers} of {total} records")
    return rates(total, ended.seconds, ended.cpu)


def prepare_beam(flights: Path, folder: Path) -> Path:
    """Write Beam's pipeline, and unpack its file: with a packed one it silently leaves most of it out."""
    folder.mkdir()
    source = folder / "flights.csv"
    source.write_bytes(gzip.decompress(flights.read_bytes()))
    text = BEAM.read_text().replace("FLIGHTS", str(source)).replace("AIRLINES", str(AIRLINES))
    (folder / "flights.yaml").write_text(text)
    return folder


def records(folder: Path) -> dict[str, list[str]]:
    """Read what a contender wrote: file -> its records, sorted."""
    found = {}
    for name in FILES:
        with (folder / "out" / name).open(encoding="utf-8", newline="") as file:
            rows = map(json.loads, file) if name.endswith(".jsonl") else csv.DictReader(file)
            found[name] = sorted(json.dumps(row, sort_keys=True) for row in rows)
    return found


def compare(folders: list[Path]) -> None:
    """Raise an error if one of the contenders did not write what the first one wrote."""
    expected = records(folders[0])
    for folder in folders[1:]:
        if (found := records(folder)) != expected:
            counts = {name: (len(expected[name]), len(found[name])) for name in FILES}
            raise BenchmarkError(f"{folder.name} wrote other records than {folders[0].name}: {counts}")


def main(harness: Harness) -> None:
    flights, folder = harness.options.flights, harness.path("flights")
    plain(flights, folder / "plain", 1)
    total = sum(map(len, records(folder / "plain").values()))
    ours_ = partial(pipeline, harness.url, flights)
    contenders: dict[str, Job] = {
        PLAIN: partial(plain, flights, folder / "plain", total),
        "rsq-pipe": partial(ours_, folder / "fused", total),
        "rsq-pipe, 2 processes": partial(ours_, folder / "two", total, processes=2),
        "rsq-pipe, fuse: false": partial(ours_, folder / "streams", total, fuse=False),
    }
    written = ["plain", "fused", "two", "streams"]
    if not harness.options.quick:
        contenders["the same, 2 processes"] = partial(
            ours_, folder / "two-streams", total, fuse=False, processes=2
        )
        written.append("two-streams")
    if harness.options.beam and not harness.options.quick:
        prepared = prepare_beam(flights, folder / "beam")
        contenders["Beam YAML, direct runner"] = partial(beam, harness.options.beam, prepared, total)
    harness.turns("flights", f"(c) {total:,} flights, csv.gz to three files", contenders, base=PLAIN)
    compare([folder / name for name in written])


if __name__ == "__main__":
    command(main, __doc__)
