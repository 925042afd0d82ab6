"""Lookups of 9,973 customers for each order, file to file, compared with a Python loop with a dict.

loop            reads the csv file into a dict, then each order, one after another
file            `lookup` in the csv file, fused with the source
redis           `lookup` in hashes, each customer asked for once
redis, no cache the same, with `cache: {size: 0}`
postgres        `lookup` by a query; left out if PostgreSQL is not installed
no lookup       the pipeline without it
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import redis

from benchmarks import orders, ours
from benchmarks.harness import Harness, command
from benchmarks.measure import Figures, Job, Stopwatch, rates
from tests.support.postgres import PostgresServer, binaries

CUSTOMERS = 9973
KEY = "customer"
FIELDS = {"city": "city", "level": "level"}


def customers() -> Iterator[dict[str, str]]:
    """Make the rows in which the orders' customers are found."""
    for number in range(CUSTOMERS):
        name = f"A. Customer {number:05d}"
        yield {"name": name, "city": f"city {number % 97}", "level": "gold" if number % 9 else "new"}


def loop(folder: Path, total: int) -> Figures:
    """Do by hand what the pipeline does."""
    watch = Stopwatch()
    with (folder / "customers.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    with (folder / "orders.jsonl").open() as source, (folder / "loop.jsonl").open("w") as target:
        for line in source:
            record = json.loads(line)
            row = rows.get(record[KEY])
            record["city"] = row["city"] if row else None
            record["level"] = row["level"] if row else None
            target.write(json.dumps(record, separators=(",", ":")) + "\n")
    return watch.figures(total)


def pipeline(url: str, folder: Path, total: int, name: str, table: Any, **more: Any) -> Figures:
    """Run a pipeline with a lookup, or without."""
    stages: dict[str, Any] = {"read": {"source": {"type": "jsonl", "path": "orders.jsonl"}}}
    if table is not None:
        lookup = {"table": table, "key": KEY, "fields": FIELDS, **more}
        stages["find"] = {"lookup": lookup}
    stages["write"] = {"sink": {"type": "jsonl", "path": "out.jsonl"}}
    own = folder / name.replace(" ", "-").replace(",", "")
    spec = ours.project(own, f"lookups-{own.name}", stages)
    for file in ("orders.jsonl", "customers.csv"):
        (own / file).unlink(missing_ok=True)
        (own / file).hardlink_to(folder / file)
    ended = ours.run_to_end(spec, url, "--json")
    seconds = json.loads((own / "log").read_text().splitlines()[-1])["seconds"]
    return rates(total, seconds, ended.cpu)


@contextmanager
def postgres() -> Iterator[str | None]:
    """Run a server with the customers; None if PostgreSQL is not installed."""
    found = binaries()
    if found is None:
        yield None
        return
    with PostgresServer(found) as server:
        server.execute("create table customers (name text primary key, city text, level text)")
        rows = json.dumps(list(customers()))
        server.execute(
            "insert into customers select * from json_populate_recordset(null::customers, $$" + rows + "$$)"
        )
        server.execute("analyze customers")
        yield server.dsn


def main(harness: Harness) -> None:
    total = harness.options.size(300_000, 3_000)
    folder = harness.path("lookups")
    orders.write(folder / "orders.jsonl", total)
    with (folder / "customers.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["name", "city", "level"])
        writer.writeheader()
        writer.writerows(customers())
    with redis.Redis.from_url(harness.url) as client, client.pipeline(transaction=False) as pipe:
        for row in customers():
            pipe.hset(f"lookups:{row['name']}", mapping=row)
        pipe.execute()
    run = partial(pipeline, harness.url, folder, total)
    key = {"redis": "lookups:{name}"}
    with postgres() as dsn:
        contenders: dict[str, Job] = {
            "loop": partial(loop, folder, total),
            "no lookup": partial(run, "no lookup", None),
            "file": partial(run, "file", "customers.csv", by="name"),
            "redis": partial(run, "redis", key),
            "redis, no cache": partial(run, "redis, no cache", key, cache={"size": 0}),
        }
        if dsn is not None:
            query = "select name, city, level from customers where name = any($1)"
            table = {"postgres": {"dsn": dsn, "query": query}}
            contenders["postgres"] = partial(run, "postgres", table, by="name")
            contenders["postgres, no cache"] = partial(
                run, "postgres, no cache", table, by="name", cache={"size": 0}
            )
        title = f"{total:,} orders looked up among {CUSTOMERS:,} customers, file to file"
        harness.turns("lookups", title, contenders, base="loop")


if __name__ == "__main__":
    command(main, __doc__)
