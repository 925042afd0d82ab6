"""How long things take to start: the command line, a validation, the embedded server."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rsq_pipe.server.embedded import acquire

ROOT = Path(__file__).parents[1]
RSQ_PIPE = [sys.executable, "-m", "rsq_pipe"]


def command(*arguments: str) -> None:
    """Run one command line to its end."""
    subprocess.run([*RSQ_PIPE, *arguments], cwd=ROOT, check=True, capture_output=True)


def server() -> None:
    """Start an embedded server in an empty directory, and use it until it answers."""
    with (
        tempfile.TemporaryDirectory(prefix="rsq-", ignore_cleanup_errors=True) as folder,
        acquire(Path(folder)),
    ):
        pass


def measure(what: str, work: Callable[[], None], rounds: int) -> None:
    """Print the fastest and the median of some rounds."""
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    print(
        f"{what:<40} best {1000 * min(seconds):5.0f} ms   median {1000 * statistics.median(seconds):5.0f} ms"
    )


def main() -> None:
    """Measure each start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    measure("embedded server, until it answers", server, rounds)
    measure("rsq-pipe --help", lambda: command("--help"), rounds)
    measure(
        "rsq-pipe validate pipelines/orders.yaml",
        lambda: command("validate", "pipelines/orders.yaml"),
        rounds,
    )


if __name__ == "__main__":
    main()
