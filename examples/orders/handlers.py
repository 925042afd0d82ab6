"""The Python of pipelines/orders.yaml."""

from __future__ import annotations

import csv
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field

from rsq_pipe import Context, Reject, StageContext


class Line(BaseModel, extra="forbid"):
    """One line of an order."""

    product_id: int
    unit_price: Annotated[float, Field(ge=0)]
    quantity: Annotated[int, Field(gt=0)]
    discount: Annotated[float, Field(ge=0, le=1)]


class Order(BaseModel, extra="forbid"):
    """An order as the shop hands it over."""

    order_id: int
    customer_id: str
    employee_id: int
    order_date: date
    required_date: date
    shipped_date: date | None
    ship_via: int
    freight: Annotated[float, Field(ge=0)]
    ship_name: str
    ship_city: str
    ship_region: str | None
    ship_postal_code: str | None
    ship_country: str
    lines: Annotated[list[Line], Field(min_length=1)]


def validate(order: Order) -> dict[str, Any]:
    """Let valid orders pass. The annotation is the check: what is not an Order becomes a dead letter."""
    return order.model_dump(mode="json")


def enrich(order: dict[str, Any], ctx: Context) -> dict[str, Any] | Reject:
    """Add the customer's company and country."""
    customer = ctx.resource(customers).get(order["customer_id"])
    if customer is None:
        return Reject(f"there is no customer {order['customer_id']!r} in {ctx.values['customers']}")
    return {**order, "company": customer["company_name"], "country": customer["country"]}


def customers(ctx: StageContext) -> dict[str, dict[str, str]]:
    """Read the customers by id; called once per stage, for `ctx.resource`."""
    with (ctx.root / ctx.values["customers"]).open(encoding="utf-8", newline="") as file:
        return {row["customer_id"]: row for row in csv.DictReader(file)}
