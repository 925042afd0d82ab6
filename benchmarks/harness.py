"""Harness: contenders take turns on one server; their results go into a table and a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from benchmarks.measure import Figures, Job, alone
from benchmarks.table import Table
from tests.support.server import StreamServer, binaries

ROOT = Path(__file__).parents[1]
MONTH = ROOT / "examples/flights/data/flights-2013-01.csv.gz"
BEAM = ROOT / ".venv/beam/bin/python"


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    quick: bool
    rounds: int
    json: Path
    flights: Path
    beam: Path | None

    def size(self, usual: int, quick: int) -> int:
        """Choose how many records a benchmark takes."""
        return quick if self.quick else usual


class Harness:
    """
    Run benchmarks on a server and a folder that they all share.

    Args:
        options: What the command line asks for.
        server: The server, empty before each measurement.
        folder: The folder for the files of the benchmarks.
    """

    def __init__(self, options: Options, server: StreamServer, folder: Path) -> None:
        self.options = options
        self.url = server.tcp_url  # over TCP, since not all peers can connect to a unix socket
        self.folder = folder
        self.tables: list[Table] = []
        self._client = redis.Redis.from_url(self.url)
        self._taken = datetime.now(UTC)

    def turns(
        self,
        name: str,
        title: str,
        contenders: Mapping[str, Job],
        *,
        base: str | None = None,
        beside: Mapping[str, str] | None = None,
        compared: tuple[str, ...] = (),
        patience: float = 900,
    ) -> Table:
        """
        Let each contender do its job, then each again, until each has had its rounds.

        Args:
            name: The table's name in the JSON file.
            title: What is measured, with its size, for readers.
            contenders: The contenders that take turns.
            base: The contender with which the others are compared, round by round.
            beside: Contender -> the one it is compared with, if they are not all compared with the same one.
            compared: Which figures are compared; if left out, the first one.
            patience: Seconds after which a job is given up.

        Returns:
            The table, printed and written.

        Raises:
            BenchmarkError: A contender failed, or did not end.
        """
        table = Table(name, title, base, compared, {contender: [] for contender in contenders}, beside or {})
        for _ in range(self.options.rounds):
            for contender, job in contenders.items():
                table.rounds[contender].append(self._measured(job, patience))
        self.tables.append(table)
        print(table, flush=True)
        self._write()
        return table

    def path(self, name: str) -> Path:
        """Make a folder for a benchmark."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder

    def _measured(self, job: Job, patience: float) -> Figures:
        # The server belongs to the benchmark. Its file is rewritten now, so that it is not during a
        # measurement.
        self._client.flushall()
        self._client.bgrewriteaof()
        deadline = time.monotonic() + 60
        while self._rewriting() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._client.config_resetstat()
        return alone(job, patience, fresh=not self.options.quick)

    def _rewriting(self) -> bool:
        info = self._client.info("persistence")
        return bool(info["aof_rewrite_in_progress"] or info["aof_rewrite_scheduled"])

    def _write(self) -> None:
        info = self._client.info("server")
        facts: dict[str, Any] = {
            "taken": self._taken.isoformat(timespec="seconds"),
            "quick": self.options.quick,
            "rounds": self.options.rounds,
            "machine": {
                "system": platform.platform(),
                "cpus": os.cpu_count(),
                "python": platform.python_version(),
                "server": str(info.get("valkey_version") or info["redis_version"]),
            },
            "tables": [table.facts() for table in self.tables],
        }
        self.options.json.parent.mkdir(parents=True, exist_ok=True)
        self.options.json.write_text(json.dumps(facts, indent=1) + "\n")


def command(main: Callable[[Harness], None], description: str | None) -> None:
    """Run one benchmark, or all, as the command line says."""
    options = _options(description)
    with _harness(options) as harness:
        main(harness)
    print(f"written: {options.json}")


@contextmanager
def _harness(options: Options) -> Iterator[Harness]:
    config = {"auto-aof-rewrite-percentage": "0"}
    with (
        tempfile.TemporaryDirectory(prefix="rsq-bench-", ignore_cleanup_errors=True) as folder,
        StreamServer(binaries()["valkey"], tcp=True, appendonly=True, config=config) as server,
    ):
        yield Harness(options, server, Path(folder))


def _options(description: str | None) -> Options:
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="a small size, once: whether it works, not how fast"
    )
    parser.add_argument("--rounds", type=int, help="turns of each contender (5; with --quick 1)")
    parser.add_argument("--json", type=Path, help="where figures are written")
    parser.add_argument("--flights", type=Path, default=MONTH, help="a csv.gz of flights (January 2013)")
    parser.add_argument("--beam", type=Path, default=BEAM, help="a Python that has apache-beam[yaml]")
    given = parser.parse_args()
    stem = Path(sys.argv[0]).stem
    name = "benchmarks" if stem == "__main__" else f"benchmarks-{stem}"
    usual = ROOT / f"out/{name}{'-quick' if given.quick else ''}.json"
    return Options(
        quick=given.quick,
        rounds=given.rounds or (1 if given.quick else 5),
        json=given.json.resolve() if given.json else usual,
        flights=MONTH if given.quick else given.flights.resolve(),
        beam=given.beam.absolute() if given.beam.exists() else None,
    )
