"""Measure what tracing costs: records per second through three stages, with and without a collector.

    python benchmarks/tracing.py [RECORDS] [ROUNDS]

A round runs every case once, in an order of its own, and compares within the round: what else the machine
does meets all of them. The base stands there twice; how far the two are apart says how far to trust the rest.
"""

from __future__ import annotations

import os
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.otlp_receiver import OtlpReceiver

Run = tuple[float, float]
Environ = Mapping[str, str]

BASE = "no collector"
COMMAND = Path(sys.executable).parent / "rsq-pipe"
SPEC = """
version: 1
pipeline: rates
defaults: {batch: {size: 500, wait: 10ms}}
stages:
  read: {source: {type: jsonl, path: in.jsonl}}
  first: {map: {a: n + 1}}
  second: {map: {b: a * 2}}
  write: {sink: {type: jsonl, path: out.jsonl}}
"""


def main(records: int = 200_000, rounds: int = 9) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (root / ".rsq").mkdir()
        (root / "pipeline.yaml").write_text(SPEC)
        folders = [root / "live", root / "hanging"]
        for folder in folders:
            folder.mkdir()
        live = stack.enter_context(OtlpReceiver(folders[0])).endpoint
        hanging = stack.enter_context(OtlpReceiver(folders[1], hang=True)).endpoint
        refused = f"http://127.0.0.1:{closed_port()}"
        every = {"OTEL_TRACES_SAMPLER": "always_on"}
        rated = {
            "no collector, once more": {},
            "10/s, collector takes them": {"OTEL_EXPORTER_OTLP_ENDPOINT": live},
            "10/s, collector refuses": {"OTEL_EXPORTER_OTLP_ENDPOINT": refused},
            "10/s, collector hangs": {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging},
        }
        report(compare(root, rated, records, rounds))
        # Several times slower, so with fewer records.
        whole = {
            "all, collector takes them": {"OTEL_EXPORTER_OTLP_ENDPOINT": live, **every},
            "all, collector hangs": {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging, **every},
        }
        report(compare(root, whole, records // 5, max(1, rounds // 3)))


def compare(root: Path, cases: Mapping[str, Environ], records: int, rounds: int) -> dict[str, list[Run]]:
    with (root / "in.jsonl").open("w") as file:
        file.writelines(f'{{"n": {n}}}\n' for n in range(records))
    every = {BASE: {}, **cases}
    found: dict[str, list[Run]] = {name: [] for name in every}
    for _ in range(rounds):
        for name in random.sample(list(every), len(every)):
            found[name].append(measure(root, every[name], records))
    return found


def measure(root: Path, environ: Environ, records: int) -> Run:
    """Run once; return records per second of the run itself, and the seconds the process took beside it."""
    began = time.monotonic()
    done = subprocess.run(
        [COMMAND, "run", "pipeline.yaml", "--fresh"],
        cwd=root,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    took = time.monotonic() - began
    match = re.search(r"done in ([\d.]+)s", done.stderr)
    assert match, done.stderr
    return records / float(match[1]), took - float(match[1])


def report(found: Mapping[str, Sequence[Run]]) -> None:
    for name, runs in found.items():
        rate = statistics.median(rate for rate, _ in runs)
        beside = statistics.median(beside for _, beside in runs)
        ratios = sorted(rate / base for (rate, _), (base, _) in zip(runs, found[BASE], strict=True))
        low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
        print(
            f"{name:28} {rate:9,.0f} records/s   {statistics.median(ratios) - 1:+6.1%} "
            f"(half of the rounds {low - 1:+.1%} to {high - 1:+.1%})   start and end {beside:4.1f} s",
            flush=True,
        )


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
