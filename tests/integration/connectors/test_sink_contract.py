"""What every file sink guarantees: each record once, whoever is killed, paused or taken over, and when."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import random
import signal
from pathlib import Path
from typing import Any

import arro3.io
import pytest
from backports import zstd

from rsq_pipe.connectors.table import connector, types
from tests.integration.connectors.ledger_places import KINDS as LEDGER_SINKS
from tests.integration.connectors.struck_process import StruckProcess
from tests.integration.connectors.writer import ROTATIONS
from tests.support.signals import PATIENCE

FILE_SINKS = ["csv", "jsonl", "parquet"]
PARTS = ["jsonl@parts", "csv@parts", "csv.gz@parts", "parquet@parts"]
RECORDS = ["jsonl@records", "csv.gz@records", "parquet@records"]
PACKED = ["jsonl.gz", "csv.gz", "jsonl.bz2", "csv.zst"]
OPEN = {".gz": gzip.open, ".bz2": bz2.open, ".zst": zstd.open}
TOTAL = 200


class Writer(StruckProcess):
    """A process that writes records through a sink; see writer.py."""

    def __init__(self, kind: str, root: Path, signal_name: str = "SIGKILL", call: int = 0) -> None:
        super().__init__("writer", kind, str(root), str(TOTAL), signal_name, str(call))

    def end(self) -> tuple[int, str]:
        """Wait as the other; but one that does not end fails the test."""
        out, err = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, err or out


def ids(kind: str, root: Path) -> list[int]:
    """List the records in the file, or the parts; a half line or a second header fails here."""
    kind, _, parts = kind.partition("@")
    if parts:
        paths = sorted((root / "out").glob(f"x-*.{kind}"))
        assert len(paths) >= 3
        assert [path.name for path in paths] == [f"x-{n + 1:06}.{kind}" for n in range(len(paths))]
        found = [in_file(kind, path) for path in paths]
        if parts == "records":
            assert max(map(len, found)) <= ROTATIONS[parts]["records"]
        return [number for numbers in found for number in numbers]
    return in_file(kind, root / f"out/x.{kind}")


def in_file(kind: str, path: Path) -> list[int]:
    if kind == "parquet":
        table = arro3.io.read_parquet(path).read_all()
        return [int(number) for number in table.column("id").to_pylist()]
    opened: Any = OPEN.get(path.suffix, open)
    with opened(path, "rt", newline="") as file:
        if kind.startswith("jsonl"):
            return [json.loads(line)["id"] for line in file.read().splitlines()]
        return [int(row["id"]) for row in csv.DictReader(file, strict=True)]


NEEDED: dict[str, dict[str, Any]] = {
    "csv": {"path": "x"},
    "dlt": {"destination": "duckdb", "dataset": "x", "table": "x"},
    "duckdb": {"path": "x", "table": "x"},
    "jsonl": {"path": "x"},
    "kafka": {"brokers": "x:1", "topic": "x"},
    "mqtt": {"broker": "x:1", "topic": "x"},
    "mysql": {"dsn": "mysql://x@x/x", "table": "x"},
    "objects": {"url": "s3://x/{part}.csv"},
    "parquet": {"path": "x.parquet"},
    "postgres": {"dsn": "host=x", "table": "x"},
    "redis": {"url": "redis://x:1", "kind": "hash", "key": "x:{id}"},
    "sqlite": {"path": "x", "table": "x"},
    "stdout": {},
}
"""Type of a sink -> the settings that it cannot do without."""


def test_every_sink_states_its_guarantee_and_those_that_state_exactly_once_are_tested_here(
    tmp_path: Path,
) -> None:
    stated: dict[str, str] = {}
    for kind in types("sink"):
        found = connector("sink", kind)
        if found.connect is not None:
            options: dict[str, Any] = NEEDED[kind]
            sink = found.made(found.options(**options), pipeline="p", stage="out", root=tmp_path)
            stated[kind] = sink.guarantee
            assert sink.exclusive == (sink.guarantee == "exactly-once")

    exactly_once = [*FILE_SINKS, *LEDGER_SINKS, "dlt", "objects"]
    least = dict.fromkeys(["mqtt", "stdout"], "at-least-once")
    assert stated == {**dict.fromkeys(exactly_once, "exactly-once"), **least}


@pytest.mark.parametrize("kind", ["csv", "jsonl", *PACKED, *PARTS, *RECORDS])
def test_each_record_stands_in_the_file_once_however_often_its_writer_is_killed(
    tmp_path: Path, kind: str
) -> None:
    rng = random.Random(f"kill {kind}")
    codes = [Writer(kind, tmp_path, "SIGKILL", rng.randint(1, 600)).end()[0] for _ in range(12)]
    Writer(kind, tmp_path).end()

    assert codes.count(-signal.SIGKILL) >= 6
    assert ids(kind, tmp_path) == list(range(TOTAL))


@pytest.mark.parametrize("kind", ["jsonl", "jsonl@parts", "jsonl@records", "parquet@parts"])
@pytest.mark.parametrize("call", [3, 40, 70, 95, 120, 150, 185, 220, 260, 300])
def test_paused_writer_that_wakes_up_after_another_took_over_writes_nothing_more(
    tmp_path: Path, call: int, kind: str
) -> None:
    paused = Writer(kind, tmp_path, "SIGSTOP", call)
    assert paused.stopped()

    code, said = Writer(kind, tmp_path).end()
    waits = said.startswith("busy")  # for one that is paused in its turn
    if not waits:
        assert (code, ids(kind, tmp_path)) == (0, list(range(TOTAL))), said

    paused.resume()
    code, said = paused.end()
    if waits:
        Writer(kind, tmp_path).end()
    assert code == 1, "the paused writer went on as if nothing had happened"
    assert said.startswith(("lost", "refused: "))
    assert ids(kind, tmp_path) == list(range(TOTAL))
