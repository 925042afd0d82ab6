"""Measure what tracing costs a pipeline of three stages and a source, whatever its collector does.

    python benchmarks/tracing.py [RECORDS] [PAIRS]

Each measurement is a pair of runs at the same time, one traced and one not, so that what else the machine
does meets both alike; one run after the other differed by 15% from itself. Printed are two ratios, the median
of the pairs and what half of them lie between: records per second, and CPU time a record. The second is the
harder: where two runs share a machine, the slower one gets what the faster one leaves.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

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


class Run(NamedTuple):
    """What one run took: seconds by the clock, and of CPU time, its start and end left out of the first."""

    wall: float
    cpu: float


def main(records: int = 100_000, pairs: int = 9) -> None:
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = [project(root / name) for name in ("one", "other")]
        live = stack.enter_context(OtlpReceiver(project(root / "live"))).endpoint
        hanging = stack.enter_context(OtlpReceiver(project(root / "hanging"), hang=True)).endpoint
        refused = f"http://127.0.0.1:{closed_port()}"
        every = {"OTEL_TRACES_SAMPLER": "always_on"}
        cases: dict[str, tuple[int, dict[str, str]]] = {
            "not traced either": (records, {}),
            "10/s, collector takes them": (records, {"OTEL_EXPORTER_OTLP_ENDPOINT": live}),
            "10/s, collector refuses": (records, {"OTEL_EXPORTER_OTLP_ENDPOINT": refused}),
            "10/s, collector hangs": (records, {"OTEL_EXPORTER_OTLP_ENDPOINT": hanging}),
            "all, collector takes them": (records // 5, {"OTEL_EXPORTER_OTLP_ENDPOINT": live, **every}),
        }
        print(f"{'':28} records/s                CPU a record")
        for name, (count, environ) in cases.items():
            report(name, [pair(folders, environ, count, place) for place in range(pairs)])


def project(folder: Path) -> Path:
    (folder / ".rsq").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(SPEC)
    return folder


def pair(folders: Sequence[Path], environ: Mapping[str, str], records: int, place: int) -> tuple[Run, Run]:
    """Run without and with `environ` at once; which folder gets which changes from pair to pair."""
    plain, traced = folders[place % 2], folders[1 - place % 2]
    starts = both(plain, traced, environ, 0)
    runs = both(plain, traced, environ, records)
    # The start of a process costs CPU time too, most of it to load the SDK: not a matter of records.
    without, with_ = (Run(run.wall, run.cpu - start.cpu) for run, start in zip(runs, starts, strict=True))
    return without, with_


def both(plain: Path, traced: Path, environ: Mapping[str, str], records: int) -> tuple[Run, Run]:
    began = []
    for folder, variables in ((plain, {}), (traced, environ)):
        with (folder / "in.jsonl").open("w") as file:
            file.writelines(f'{{"n": {n}}}\n' for n in range(records))
        began.append(
            subprocess.Popen(
                [COMMAND, "run", "pipeline.yaml", "--fresh"],
                cwd=folder,
                env={**os.environ, **variables},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    first, second = map(ended, began)
    return first, second


def ended(process: subprocess.Popen[str]) -> Run:
    assert process.stderr is not None
    said = process.stderr.read()
    _, _, used = os.wait4(process.pid, 0)
    match = re.search(r"done in ([\d.]+)s", said)
    return Run(float(match[1]) if match else 0.0, used.ru_utime + used.ru_stime)


def report(name: str, found: Sequence[tuple[Run, Run]]) -> None:
    rates = [without.wall / traced.wall for without, traced in found]
    costs = [traced.cpu / without.cpu for without, traced in found]
    print(f"{name:28} {spread(rates)}  {spread(costs)}", flush=True)


def spread(ratios: Sequence[float]) -> str:
    ordered = sorted(ratio - 1 for ratio in ratios)
    low, high = ordered[len(ordered) // 4], ordered[-1 - len(ordered) // 4]
    return f"{statistics.median(ordered):+6.1%} ({low:+.1%} to {high:+.1%})"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
