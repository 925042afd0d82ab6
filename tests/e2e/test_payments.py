"""pipelines/payments.yaml as a user runs it, compared with the files themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.e2e.example import Example

SPEC = "pipelines/payments.yaml"


@pytest.fixture
def example(tmp_path: Path) -> Example:
    return Example(tmp_path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_orders_are_joined_with_their_payments_and_what_is_left_over_is_told(example: Example) -> None:
    data = example.root / "examples/orders/data"
    with (data / "orders.jsonl").open(encoding="utf-8") as file:
        orders = {str(order["order_id"]): order for order in map(json.loads, file)}
    payments = rows(data / "payments.csv")

    done = example.run(SPEC)

    assert done.returncode == 0, done.stderr
    paid = rows(example.root / "out/payments/paid.csv")
    wanted = [(one["order_id"], one["paid_on"], float(one["amount"])) for one in payments]
    assert sorted((one["order_id"], one["paid_on"], float(one["amount"])) for one in paid) == sorted(
        one for one in wanted if one[0] in orders
    )
    for one in paid:
        order = orders[one["order_id"]]
        lines = order["lines"]
        due = sum(line["unit_price"] * line["quantity"] * (1 - line["discount"]) for line in lines)
        assert (one["customer_id"], float(one["due"])) == (order["customer_id"], round(due, 2))
    named = {one["order_id"] for one in payments}
    assert {one["order_id"] for one in rows(example.root / "out/payments/unpaid.csv")} == {*orders} - named
    assert {one["order_id"] for one in rows(example.root / "out/payments/unknown.csv")} == named - {*orders}


def test_a_second_run_finds_nothing_new(example: Example) -> None:
    example.run(SPEC)
    before = (example.root / "out/payments/paid.csv").read_bytes()

    done = example.run(SPEC)

    assert "nothing new" in done.stderr + done.stdout
    assert (example.root / "out/payments/paid.csv").read_bytes() == before
