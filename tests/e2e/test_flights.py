"""pipelines/flights.yaml as a user runs it, compared with the packed file itself."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.example import Example

SPEC = "pipelines/flights.yaml"
DATA = "examples/flights/data/flights-2013-01.csv.gz"


@dataclass
class Expected:
    """What the packed file says."""

    cancelled: Counter[str] = field(default_factory=Counter)
    delayed: Counter[str] = field(default_factory=Counter)
    on_time: Counter[str] = field(default_factory=Counter)
    minutes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, root: Path) -> Expected:
        with (root / "examples/flights/data/airlines.csv").open(newline="") as file:
            names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
        expected = cls()
        with gzip.open(root / DATA, "rt", newline="") as file:
            for row in csv.DictReader(file):
                carrier = names[row["carrier"]]
                if row["dep_time"] == "NA":
                    expected.cancelled[carrier] += 1
                elif int(row["dep_delay"]) > 15:
                    expected.delayed[carrier] += 1
                    expected.minutes[carrier] += int(row["dep_delay"])
                else:
                    expected.on_time[carrier] += 1
        return expected


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


def rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file, strict=True)


def test_flights_are_sorted_and_delays_by_carrier_agree_with_the_source(example: Example) -> None:
    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    out = example.root / "out/flights"
    delayed = list(rows(out / "delayed.csv"))
    on_time = list(rows(out / "on-time.csv"))
    cancelled = [json.loads(line) for line in (out / "cancelled.jsonl").read_bytes().splitlines()]
    minutes: Counter[str] = Counter()
    for row in delayed:
        minutes[row["carrier_name"]] += int(row["dep_delay"])
    expected = Expected.of(example.root)
    assert Counter(row["carrier_name"] for row in delayed) == expected.delayed
    assert Counter(row["carrier_name"] for row in on_time) == expected.on_time
    assert Counter(flight["carrier_name"] for flight in cancelled) == expected.cancelled
    assert minutes == expected.minutes
    assert len(delayed) + len(on_time) + len(cancelled) == 27_004
    assert len(cancelled) == 521


def test_numbers_are_numbers_nulls_are_null_and_the_date_is_one_field(example: Example) -> None:
    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    out = example.root / "out/flights"
    cancelled = [json.loads(line) for line in (out / "cancelled.jsonl").read_bytes().splitlines()]
    assert all(flight["dep_time"] is None and flight["dep_delay"] is None for flight in cancelled)
    assert all(type(flight["sched_dep_time"]) is int for flight in cancelled)
    assert {flight["date"][:8] for flight in cancelled} == {"2013-01-"}
    assert not {"year", "month", "day", "hour", "minute"} & set(cancelled[0])
    header = next(iter(rows(out / "delayed.csv")))
    assert list(header) == (
        ["date", "carrier", "carrier_name", "flight", "origin", "dest", "dep_delay", "arr_delay"]
    )
    empty = [row for row in rows(out / "on-time.csv") if row["arr_delay"] == ""]
    assert empty, "flights that were diverted have no arrival delay"


def test_second_run_finds_nothing_new_and_a_fresh_one_writes_the_same(example: Example) -> None:
    example.run(SPEC)
    first = example.outputs("out/flights")

    again = example.run(SPEC)

    assert again.returncode == 0, again.stderr
    assert "nothing new" in again.stdout + again.stderr
    assert example.outputs("out/flights") == first

    fresh = example.run(SPEC, "--fresh")

    assert fresh.returncode == 0, fresh.stderr
    after = example.outputs("out/flights")
    assert {name: sorted(data.splitlines()) for name, data in after.items()} == (
        {name: sorted(data.splitlines()) for name, data in first.items()}
    )
