"""Tests of pipelines/orders.yaml, as its author would write them: `pytest examples/orders`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.testing import run_pipeline, run_stage

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "pipelines/orders.yaml"


@pytest.fixture
def order() -> dict[str, Any]:
    """The first order of the shop: 440.00 in three lines."""
    with (ROOT / "examples/orders/data/orders.jsonl").open(encoding="utf-8") as lines:
        first: dict[str, Any] = json.loads(next(lines))
    return first


def test_an_order_without_lines_is_not_valid(order: dict[str, Any]) -> None:
    run = run_stage(SPEC, "validate", [order, order | {"lines": []}])

    assert run.records == [order]
    assert [letter.reason for letter in run.dead] == ["invalid_record"]


def test_an_order_gets_its_customers_company(order: dict[str, Any]) -> None:
    run = run_stage(SPEC, "enrich", [order | {"customer_id": "ALFKI"}, order | {"customer_id": "?"}])

    assert [(found["company"], found["country"]) for found in run.records] == [
        ("Alfreds Futterkiste", "Germany")
    ]
    assert [(letter.record["customer_id"], letter.reason) for letter in run.dead] == [("?", "rejected")]


def test_the_total_takes_discounts_off(order: dict[str, Any]) -> None:
    lines = [
        {"unit_price": 10.0, "quantity": 2, "discount": 0.25},
        {"unit_price": 1.0, "quantity": 1, "discount": 0},
    ]

    run = run_stage(SPEC, "price", [order | {"lines": lines}])

    assert [found["total"] for found in run.records] == [16.0]


def test_orders_are_sorted_into_three_files(order: dict[str, Any]) -> None:
    large = order | {"order_id": 2, "lines": [line | {"quantity": 100} for line in order["lines"]]}
    waiting = order | {"order_id": 3, "shipped_date": None}

    run = run_pipeline(SPEC, {"read": [order, large, waiting]})

    assert [found["total"] for found in run.sink("small")] == [440.0]
    assert [found["order_id"] for found in run.sink("large")] == [2]
    assert [found["order_id"] for found in run.sink("unshipped")] == [3]
    assert run.dead() == []
