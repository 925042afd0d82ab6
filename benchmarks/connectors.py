"""How fast files are read and written, without a pipeline around it."""

from __future__ import annotations

import gzip
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import changes, keys, messages, mysql, objects, orders, tables, web_requests
from benchmarks.harness import MONTH, Harness, command
from benchmarks.measure import Figures, Job, rates
from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch

NUMBERS = "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time"
TYPES = dict.fromkeys([*NUMBERS.split(), "distance", "hour", "minute"], "int") | {"time_hour": "datetime"}


def read(kind: str, root: Path, **options: Any) -> Figures:
    found = connector("source", kind)
    assert found.connect is not None
    source = found.connect(found.options(**options), stage="read", root=root)
    began, used, total = time.perf_counter(), time.process_time(), 0
    for shard in source.shards():
        for chunk in source.read(shard, "", 500):
            total += len(chunk)
    return rates(total, time.perf_counter() - began, time.process_time() - used)


def write(kind: str, root: Path, batches: int, *, fsync: bool) -> Figures:
    found = connector("sink", kind)
    assert found.connect is not None
    sink = found.connect(found.options(path=f"out.{kind}", fsync=fsync), stage="write", root=root)
    sink.open(None, fresh=True)
    record = {"id": 17, "carrier": "UA", "name": "United Air Lines Inc.", "delay": 2.5, "tail": None}
    batch = Batch([record] * 200, [f"read-{number}" for number in range(200)])
    began, used = time.perf_counter(), time.process_time()
    for _ in range(batches):
        sink.write(batch)
        sink.stored()
    sink.close()  # where it writes parts, the last one is made now
    seconds, used = time.perf_counter() - began, time.process_time() - used
    return rates(200 * batches, seconds, used)


def main(harness: Harness) -> None:
    months, lines = harness.options.size(10, 1), harness.options.size(200_000, 5_000)
    root = harness.path("connectors")
    header, _, rows = gzip.decompress(MONTH.read_bytes()).partition(b"\n")
    (root / "flights.csv").write_bytes(header + b"\n" + rows * months)
    (root / "flights.csv.gz").write_bytes(gzip.compress(header + b"\n" + rows * months))
    orders.write(root / "orders.jsonl", lines)
    with (root / "orders.jsonl").open("rb") as source, (root / "orders.json").open("wb") as whole:
        whole.write(b'{"orders": [' + b",".join(source) + b"]}")
    contenders: dict[str, Job] = {
        "source jsonl": partial(read, "jsonl", root, path="orders.jsonl"),
        "source json": partial(read, "json", root, path="orders.json", records="orders"),
        "source csv": partial(read, "csv", root, path="flights.csv", types=TYPES, na=["NA"]),
        "source csv, .gz": partial(read, "csv", root, path="flights.csv.gz", types=TYPES, na=["NA"]),
    }
    batches = harness.options.size(500, 5)
    for kind in ("jsonl", "csv"):
        for fsync in (True, False):
            contenders[f"sink {kind}, fsync: {str(fsync).lower()}"] = partial(
                write, kind, root, batches, fsync=fsync
            )
    contenders["sink parquet, fsync: true"] = partial(write, "parquet", root, batches, fsync=True)
    harness.turns("connectors", "Sources by 500 records, sinks by 200", contenders)
    with tables.contenders(harness.options.size(200, 5)) as into_tables:
        if into_tables:
            harness.turns("tables", f"Into PostgreSQL by {tables.ROWS} records", into_tables)
    with mysql.contenders(harness.options.size(200, 5)) as into_mysql:
        if into_mysql:
            harness.turns("mysql", f"Into MariaDB by {tables.ROWS} records", into_mysql)
    with changes.contenders(harness.options.size(200, 5)) as of_changes:
        if of_changes:
            harness.turns(
                "changes", f"Out of PostgreSQL, {changes.TRANSACTION} rows a transaction", of_changes
            )
    with messages.contenders(harness.options.size(100, 4)) as of_kafka:
        harness.turns("messages", f"Into and out of Kafka by {messages.BATCH} messages", of_kafka)
    with objects.contenders(harness.options.size(40, 2)) as by_objects:
        harness.turns("objects", f"Objects of {objects.RECORDS:,} records, in moto's S3", by_objects)
    with keys.contenders(harness.options.size(100, 4)) as of_keys:
        harness.turns("keys", "Into Redis and DuckDB, and made here, by 500 records", of_keys)
    with web_requests.contenders(harness.options.size(50, 2)) as senders:
        harness.turns("requests", f"To a web service, {web_requests.CONCURRENCY} requests at once", senders)


if __name__ == "__main__":
    command(main, __doc__)
