"""Files: sources with 500 records, sinks with 200, compared with the usual way to read or write it."""

from __future__ import annotations

import csv
import gzip
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

from benchmarks import orders
from benchmarks.harness import MONTH
from benchmarks.measure import Figures, Job, Stopwatch
from benchmarks.single import batches, made, read, timed, written
from rsq_pipe.model.batch import Batch

TITLE = "Files: sources by 500 records, sinks by 200"
SIZE = (500, 5)
BESIDE = {
    "source jsonl": "bare json.loads",
    "source json": "bare json.load",
    "source csv": "bare DictReader",
    "source csv, .gz": "bare DictReader",
    "source parquet": "bare to_pylist",
    "sink jsonl": "bare json.dumps, fsync",
    "sink jsonl, fsync: false": "bare json.dumps, fsync",
    "sink csv": "bare DictWriter, fsync",
    "sink csv, fsync: false": "bare DictWriter, fsync",
    "sink parquet": "bare write_parquet",
}
ROWS = 200
NUMBERS = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time"
TYPES = dict.fromkeys([*NUMBERS.split(), "distance", "hour", "minute"], "int") | {"time_hour": "datetime"}
COLUMNS = {"id": "int", "carrier": "str", "name": "str", "delay": "float", "tail": "str"}


def fill(root: Path, count: int) -> None:
    """Write the files to read."""
    months, lines = max(1, count // 50), 400 * count
    header, _, rows = gzip.decompress(MONTH.read_bytes()).partition(b"\n")
    (root / "flights.csv").write_bytes(header + b"\n" + rows * months)
    (root / "flights.csv.gz").write_bytes(gzip.compress(header + b"\n" + rows * months))
    orders.write(root / "orders.jsonl", lines)
    with (root / "orders.jsonl").open("rb") as source, (root / "orders.json").open("wb") as whole:
        whole.write(b'{"orders": [' + b",".join(source) + b"]}")
    pack([*orders.orders(lines)], root / "orders.parquet")


def pack(records: list[dict[str, Any]], path: Path) -> None:
    """Write records as Parquet: columns of Python values, combined into a table."""
    from arro3.core import Array, DataType, Table  # noqa: PLC0415  only imported by those who need it
    from arro3.io import write_parquet  # noqa: PLC0415

    types = {int: DataType.int64(), float: DataType.float64()}
    columns: dict[str, Any] = {
        name: Array([record[name] for record in records], types.get(type(value), DataType.utf8()))
        for name, value in records[0].items()
    }
    write_parquet(Table.from_pydict(columns), path, compression="zstd(3)", max_row_group_size=128 * 1024)


def counted(records: Callable[[], Iterator[Any]]) -> Figures:
    """Read to the end, keeping nothing."""
    watch = Stopwatch()
    return watch.figures(sum(1 for _ in records()))


def lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def whole(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        yield from json.load(file)["orders"]


def rows(path: Path) -> Iterator[Any]:
    """Read rows; each field is text."""
    with path.open(newline="") as file:
        yield from csv.DictReader(file)


def columns(path: Path) -> Iterator[Any]:
    from arro3.io import read_parquet  # noqa: PLC0415

    for batch in read_parquet(path):
        columns = [batch.column(name).to_pylist() for name in batch.schema.names]
        yield from (dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True))


def source(kind: str, root: Path, **options: Any) -> Figures:
    return read(made("source", kind, root=root, **options))


def sink(kind: str, count: int, **options: Any) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        target = made("sink", kind, root=Path(folder), path=f"out.{kind}", **options)
        return written(target, list(batches(count, ROWS)))


def appended(count: int, encoded: Callable[[Batch], str]) -> Figures:
    """Append each batch to a file, and force it to the disk."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "out").open("w") as file:

        def write(batch: Batch) -> None:
            file.write(encoded(batch))
            file.flush()
            os.fsync(file.fileno())

        return timed(list(batches(count, ROWS)), write)


def as_lines(batch: Batch) -> str:
    return "".join(json.dumps(record) + "\n" for record in batch.records)


def as_rows(batch: Batch) -> str:
    text = StringIO()
    csv.DictWriter(text, list(batch.records[0])).writerows(batch.records)
    return text.getvalue()


def packed(count: int) -> Figures:
    """Write all at once, as one file."""
    given = list(batches(count, ROWS))
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        pack([record for batch in given for record in batch.records], Path(folder) / "out.parquet")
        return watch.figures(count * ROWS)


@contextmanager
def contenders(count: int) -> Iterator[dict[str, Job]]:
    """Write the files to read, and name the contenders."""
    with tempfile.TemporaryDirectory(prefix="rsq-") as folder:
        root = Path(folder)
        fill(root, count)
        flights: dict[str, Any] = {"types": TYPES, "na": ["NA"]}
        yield {
            "bare json.loads": partial(counted, partial(lines, root / "orders.jsonl")),
            "source jsonl": partial(source, "jsonl", root, path="orders.jsonl"),
            "bare json.load": partial(counted, partial(whole, root / "orders.json")),
            "source json": partial(source, "json", root, path="orders.json", records="orders"),
            "bare DictReader": partial(counted, partial(rows, root / "flights.csv")),
            "source csv": partial(source, "csv", root, path="flights.csv", **flights),
            "source csv, .gz": partial(source, "csv", root, path="flights.csv.gz", **flights),
            "bare to_pylist": partial(counted, partial(columns, root / "orders.parquet")),
            "source parquet": partial(source, "parquet", root, path="orders.parquet"),
            "bare json.dumps, fsync": partial(appended, count, as_lines),
            "sink jsonl": partial(sink, "jsonl", count),
            "sink jsonl, fsync: false": partial(sink, "jsonl", count, fsync=False),
            "bare DictWriter, fsync": partial(appended, count, as_rows),
            "sink csv": partial(sink, "csv", count),
            "sink csv, fsync: false": partial(sink, "csv", count, fsync=False),
            "bare write_parquet": partial(packed, count),
            "sink parquet": partial(sink, "parquet", count, columns=COLUMNS),
        }
