"""Measure what tracing costs: records per second through three stages, with and without a collector.

    python benchmarks/tracing.py [RECORDS] [ROUNDS]

Rounds are interleaved, so that whatever else the machine does meets all of them; the median of each counts.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.otlp_receiver import OtlpReceiver

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


def main(records: int = 60_000, rounds: int = 3) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (root / ".rsq").mkdir()
        (root / "pipeline.yaml").write_text(SPEC)
        with (root / "in.jsonl").open("w") as file:
            file.writelines(f'{{"n": {n}}}\n' for n in range(records))
        folders = [root / "live", root / "hanging"]
        for folder in folders:
            folder.mkdir()
        live = stack.enter_context(OtlpReceiver(folders[0])).endpoint
        hanging = stack.enter_context(OtlpReceiver(folders[1], hang=True)).endpoint
        refused = f"http://127.0.0.1:{closed_port()}"
        every = {"OTEL_TRACES_SAMPLER": "always_on"}
        cases = {
            "no collector": {},
            "10/s, collector takes them": {"OTEL_EXPORTER_OTLP_ENDPOINT": live},
            "10/s, collector refuses": {"OTEL_EXPORTER_OTLP_ENDPOINT": refused},
            "10/s, collector hangs": {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging},
            "all, collector takes them": {"OTEL_EXPORTER_OTLP_ENDPOINT": live, **every},
            "all, collector hangs": {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging, **every},
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, environ in cases.items():
                found[name].append(measure(root, environ, records))
        report(found)


def measure(root: Path, environ: dict[str, str], records: int) -> tuple[float, float]:
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


def report(found: dict[str, list[tuple[float, float]]]) -> None:
    base = statistics.median(rate for rate, _ in found["no collector"])
    for name, runs in found.items():
        rate = statistics.median(rate for rate, _ in runs)
        beside = statistics.median(beside for _, beside in runs)
        print(f"{name:28} {rate:9,.0f} records/s  {rate / base - 1:+6.1%}   start and end {beside:4.1f} s")


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
