"""How fast files are read and written: python benchmarks/connectors.py."""

from __future__ import annotations

import gzip
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsq_pipe.registry import connector
from rsq_pipe.streams.message import StreamMessage

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBERS = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time"
TYPES = dict.fromkeys([*NUMBERS.split(), "distance", "hour", "minute"], "int") | {"time_hour": "datetime"}


@contextmanager
def measured(what: str) -> Iterator[Callable[[int], None]]:
    """Print records per second; the block says how many there were."""
    counts: list[int] = []
    began = time.perf_counter()
    yield counts.append
    seconds = time.perf_counter() - began
    print(f"{what:34} {sum(counts):>9,} records  {sum(counts) / seconds:>9,.0f} records/s")


def read(kind: str, root: Path, **options: Any) -> None:
    found = connector("source", kind)
    assert found.connect is not None
    source = found.connect(found.options(**options), stage="read", root=root)
    with measured(f"source {kind}: {options['path']}") as count:
        for shard in source.shards():
            for chunk in source.read(shard, "", 500):
                count(len(chunk))


def write(kind: str, root: Path, record: dict[str, Any], *, fsync: bool) -> None:
    found = connector("sink", kind)
    assert found.connect is not None
    sink = found.connect(found.options(path=f"out.{kind}", fsync=fsync), stage="write", root=root)
    sink.open(None, fresh=True)
    batch = [StreamMessage(f"1-{number}", record) for number in range(200)]
    with measured(f"sink {kind}: 200 a batch, fsync {fsync}") as count:
        for _ in range(500):
            sink.write(batch)
            count(len(batch))
    sink.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        flights = gzip.decompress((EXAMPLES / "flights/data/flights-2013-01.csv.gz").read_bytes())
        header, _, rows = flights.partition(b"\n")
        (root / "flights.csv").write_bytes(header + b"\n" + rows * 10)
        (root / "flights.csv.gz").write_bytes(gzip.compress(header + b"\n" + rows * 10))
        (root / "orders.jsonl").write_bytes((EXAMPLES / "orders/data/orders.jsonl").read_bytes() * 200)
        read("jsonl", root, path="orders.jsonl")
        read("csv", root, path="flights.csv", types=TYPES, na=["NA"])
        read("csv", root, path="flights.csv.gz", types=TYPES, na=["NA"])
        record = {"id": 17, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
        for kind in ("jsonl", "csv"):
            for fsync in (True, False):
                write(kind, root, record, fsync=fsync)


if __name__ == "__main__":
    main()
