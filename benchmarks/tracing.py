"""(g) What tracing costs a pipeline of a source, two maps and a sink: none, the default, everything.

off        `sample: none`, without a collector
default    10 records per second, without a collector, or with one that takes the spans
all        every record, with a collector that takes the spans, and therefore with fewer records
"""

from __future__ import annotations

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import Figures, Job, rates
from tests.support.otlp_receiver import OtlpReceiver


def traced(
    url: str, folder: Path, total: int, *, sample: str | None = None, collected: bool = False
) -> Figures:
    stages = {
        "read": {"source": {"type": "jsonl", "path": "in.jsonl"}},
        "first": {"map": {"cost": "quantity * price"}},
        "second": {"map": {"rounded": "round(cost)"}},
        "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
    }
    settings: dict[str, Any] = {"telemetry": {"sample": sample}} if sample else {}
    spec = ours.project(folder / f"sample-{sample}-{collected}", "tracing", stages, **settings)
    if not collected:
        return _run(spec, url, total, {})
    with (
        tempfile.TemporaryDirectory(prefix="rsq-", ignore_cleanup_errors=True) as kept,
        OtlpReceiver(Path(kept)) as receiver,
    ):
        return _run(spec, url, total, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint})


def _run(spec: Path, url: str, total: int, environ: dict[str, str]) -> Figures:
    """Exclude the process's start: it loads the SDK if spans are sent, however few records there are."""
    folder = spec.parent
    _link(folder, folder.parent / "orders-0.jsonl")
    start = ours.run_to_end(spec, url, environ=environ)
    _link(folder, folder.parent / f"orders-{total}.jsonl")
    ended = ours.run_to_end(spec, url, "--json", environ=environ)
    seconds = json.loads((folder / "log").read_text().splitlines()[-1])["seconds"]
    return rates(total, seconds, ended.cpu - start.cpu)


def _link(folder: Path, source: Path) -> None:
    (folder / "in.jsonl").unlink(missing_ok=True)
    (folder / "in.jsonl").hardlink_to(source)


def main(harness: Harness) -> None:
    total = harness.options.size(300_000, 3_000)
    few = harness.options.size(30_000, 1_000)
    folder = harness.path("tracing")
    for count in (0, total, few):
        orders.write(folder / f"orders-{count}.jsonl", count)
    run = partial(traced, harness.url, folder)
    contenders: dict[str, Job] = {
        "off": partial(run, total, sample="none"),
        "default, collector": partial(run, total, collected=True),
        "all, collector": partial(run, few, sample="all", collected=True),
    }
    if not harness.options.quick:
        contenders["default, no collector"] = partial(run, total)
        contenders["off, fewer records"] = partial(run, few, sample="none")
    harness.turns(
        "tracing",
        f"(g) {total:,} orders ({few:,} where all are traced), file to file through two maps",
        contenders,
        base="off",
    )


if __name__ == "__main__":
    command(main, __doc__)
