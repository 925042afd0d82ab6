"""pipelines/orders.yaml as a user runs it: 830 real orders, each in one file, worth 1,265,793.04."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.example import Example

SPEC = "pipelines/orders.yaml"
FILES = ["large.jsonl", "small.jsonl", "unshipped.jsonl"]


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


def orders(example: Example) -> dict[str, list[dict[str, Any]]]:
    """Read the files the pipeline wrote, by name."""
    files = example.outputs("out/orders")
    return {name: [json.loads(line) for line in data.splitlines()] for name, data in files.items()}


def test_each_order_stands_in_one_file_priced_and_enriched(example: Example) -> None:
    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    found = orders(example)
    assert list(found) == FILES
    everything = [order for file in found.values() for order in file]
    assert round(sum(order["total"] for order in everything), 2) == 1_265_793.04
    source = example.root / "examples/orders/data/orders.jsonl"
    ids = [json.loads(line)["order_id"] for line in source.read_bytes().splitlines()]
    assert sorted(order["order_id"] for order in everything) == sorted(ids)
    assert len(ids) == 830
    assert all(order["company"] and order["country"] for order in everything)
    assert {name: len(file) for name, file in found.items()} == dict(zip(FILES, (395, 414, 21), strict=True))
    assert all(order["shipped_date"] is None for order in found["unshipped.jsonl"])
    assert all(order["shipped_date"] and order["total"] >= 1000 for order in found["large.jsonl"])
    assert all(order["shipped_date"] and order["total"] < 1000 for order in found["small.jsonl"])


def test_second_run_finds_nothing_new_and_changes_no_file(example: Example) -> None:
    example.run(SPEC)
    before = example.outputs("out/orders")

    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    assert "nothing new" in done.stdout + done.stderr
    assert example.outputs("out/orders") == before


def test_fresh_run_writes_the_same_orders_again(example: Example) -> None:
    example.run(SPEC)
    before = orders(example)

    done = example.run(SPEC, "--fresh")

    assert done.returncode == 0, done.stderr
    after = orders(example)
    assert list(after) == FILES
    for name in FILES:
        assert sorted(map(json.dumps, after[name])) == sorted(map(json.dumps, before[name]))


def test_added_order_is_all_that_the_next_run_reads(example: Example) -> None:
    example.run(SPEC)
    before = orders(example)["large.jsonl"]
    source = example.root / "examples/orders/data/orders.jsonl"
    order = json.loads(source.read_text().splitlines()[0]) | {"order_id": 1}
    order["lines"][0]["quantity"] = 1000
    with source.open("a") as file:
        file.write(json.dumps(order) + "\n")

    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    assert [new["order_id"] for new in orders(example)["large.jsonl"][len(before) :]] == [1]


def test_order_that_is_not_valid_is_a_dead_letter_and_stops_no_other(example: Example) -> None:
    source = example.root / "examples/orders/data/orders.jsonl"
    lines = source.read_text().splitlines()
    stranger = json.dumps(json.loads(lines[3]) | {"customer_id": "NOONE"})
    without_lines = json.dumps(json.loads(lines[4]) | {"lines": []})
    source.write_text("\n".join([*lines[:3], stranger, without_lines, "{half an ord", *lines[6:]]) + "\n")

    done = example.run(SPEC)

    assert done.returncode == 4, done.stderr
    found = [order["order_id"] for file in orders(example).values() for order in file]
    assert sorted(found) == sorted(json.loads(line)["order_id"] for line in [*lines[:3], *lines[6:]])
