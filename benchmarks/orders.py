"""Orders: the records of the benchmarks, about 200 bytes of JSON each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from benchmarks.measure import BenchmarkError

FIELDS = 8


def order(number: int, fields: int = FIELDS) -> dict[str, Any]:
    """Make one order with 8 fields, or more."""
    record: dict[str, Any] = {
        "id": number,
        "customer": f"A. Customer {number % 9973:05d}",
        "email": f"customer.{number % 9973:05d}@shop.example",
        "country": ("Norway", "Chile", "Japan")[number % 3],
        "sku": f"sku-{number % 499:04d}-wool-blue-large",
        "quantity": number % 7 + 1,
        "price": number % 10_000 / 100,
        "placed": f"2026-11-{number % 28 + 1:02d}T12:{number % 60:02d}:00Z",
    }
    for place in range(fields - len(record)):
        record[f"field_{place}"] = (number % 997, ("UA", "DL", "B6")[number % 3], None, number % 2 == 0)[
            place % 4
        ]
    return record


def orders(count: int, fields: int = FIELDS) -> Iterator[dict[str, Any]]:
    """Make orders."""
    return (order(number, fields) for number in range(count))


def encoded(record: dict[str, Any]) -> bytes:
    """Write an order as one line of JSON, without its end."""
    return json.dumps(record, separators=(",", ":")).encode()


def write(path: Path, count: int, fields: int = FIELDS) -> None:
    """Write orders into a file of JSON lines."""
    with path.open("wb") as file:
        file.writelines(encoded(record) + b"\n" for record in orders(count, fields))


def push(url: str, stream: str, count: int) -> None:
    """Put orders into a stream, one per entry, in the field that all contenders but FastStream read."""
    with redis.Redis.from_url(url) as client:
        for first in range(0, count, 1000):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, min(first + 1000, count)):
                pipeline.xadd(stream, {"data": encoded(order(number))})
            pipeline.execute()


def check(url: str, stream: str, more: int) -> None:
    """Check that the orders at both ends of a stream are what the stages should have made of them."""
    with redis.Redis.from_url(url) as client:
        entries = [*client.xrange(stream, count=100), *client.xrevrange(stream, count=100)]
    for _, fields in entries:
        found = json.loads(fields[b"data"])
        expected = order(found["id"])
        if found != {**expected, "quantity": expected["quantity"] + more}:
            raise BenchmarkError(
                f"{stream} holds an order that is not what {more} stages make of it: {found}"
            )
