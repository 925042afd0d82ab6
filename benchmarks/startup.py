"""How long things take to start: the command line, a validation, the embedded server, a first record."""

from __future__ import annotations

import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import orders, ours
from benchmarks.harness import ROOT, Harness, command
from benchmarks.measure import Figures, Stopwatch
from rsq_pipe.server.embedded import acquire


def called(*arguments: str) -> Figures:
    """Run one command line to its end."""
    watch = Stopwatch()
    subprocess.run([ours.RSQ_PIPE, *arguments], cwd=ROOT, check=True, capture_output=True)
    return {"ms": 1000 * watch.seconds}


def server() -> Figures:
    """Start an embedded server in an empty directory, and wait until it answers."""
    with tempfile.TemporaryDirectory(prefix="rsq-", ignore_cleanup_errors=True) as folder:
        watch = Stopwatch()
        with acquire(Path(folder)):
            return {"ms": 1000 * watch.seconds}


def first_record() -> Figures:
    """Run a pipeline in an empty directory until its first record is in a file."""
    with tempfile.TemporaryDirectory(prefix="rsq-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        stages = {
            "read": {"source": {"type": "jsonl", "path": "orders.jsonl"}},
            "one": {"call": "handlers:touch"},
            "write": {"sink": {"type": "jsonl", "path": "out.jsonl"}},
        }
        spec = ours.project(folder, "startup", stages)
        orders.write(folder / "orders.jsonl", 1)
        target = folder / "out.jsonl"
        watch = Stopwatch()
        with subprocess.Popen([ours.RSQ_PIPE, "run", spec], cwd=folder, stderr=subprocess.DEVNULL) as process:
            while not (target.exists() and target.stat().st_size):
                assert process.poll() is None or target.stat().st_size, "the run ended without a record"
                time.sleep(0.002)
            return {"ms": 1000 * watch.seconds}


def main(harness: Harness) -> None:
    harness.turns(
        "startup",
        "Starts",
        {
            "rsq-pipe --help": partial(called, "--help"),
            "rsq-pipe validate pipelines/orders.yaml": partial(called, "validate", "pipelines/orders.yaml"),
            "embedded server, until it answers": server,
            "first record, embedded server": first_record,
        },
    )


if __name__ == "__main__":
    command(main, __doc__)
