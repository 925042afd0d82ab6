"""pipelines/delays.yaml as a user runs it, compared with a plain loop over the packed file."""

from __future__ import annotations

import csv
import gzip
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.example import Example

DATA = "examples/flights/data"


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


def by_carrier_and_day(root: Path) -> dict[tuple[str, str], list[dict[str, str]]]:
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    with gzip.open(root / DATA / "flights-2013-01.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            groups[row["carrier"], row["time_hour"][:10]].append(row)
    return groups


def expected(root: Path) -> dict[tuple[str, str], dict[str, Any]]:
    with (root / DATA / "airlines.csv").open(newline="") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    found = {}
    for (carrier, day), rows in by_carrier_and_day(root).items():
        delays = sorted(int(row["dep_delay"]) for row in rows if row["dep_delay"] != "NA")
        found[carrier, day] = {
            "airline": names[carrier],
            "flights": str(len(rows)),
            "cancelled": str(len(rows) - len(delays)),
            "delayed": str(sum(delay > 15 for delay in delays)),
            "mean": str(round(sum(delays) / len(delays), 2)) if delays else "",
            "worst": str(delays[-1]) if delays else "",
            "p95": delays[int(0.95 * (len(delays) - 1))] if delays else "",
            "planes": str(len({row["tailnum"] for row in rows} - {"NA"})),
            "miles": str(sum(int(row["distance"]) for row in rows)),
        }
    return found


def test_delays_by_carrier_and_day_are_those_of_a_plain_loop(example: Example) -> None:
    done = example.run("pipelines/delays.yaml")

    assert done.returncode == 0, done.stderr
    with (example.root / "out/delays/daily.csv").open(newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    found = {(row.pop("carrier"), row.pop("day")): row for row in rows}
    wanted = expected(example.root)
    assert len(rows) == len(found) == 471
    assert found.keys() == wanted.keys()
    for key, row in found.items():
        near, rank = row.pop("p95"), wanted[key].pop("p95")
        assert near == rank or math.isclose(float(near), rank, rel_tol=0.01)
        assert row == wanted[key], key
    assert sum(int(row["flights"]) for row in rows) == 27_004
