"""Handlers as users write them; they must type-check under mypy --strict, and keep their types."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

from pydantic import BaseModel

from rsq_pipe import Context, Drop, Emit, Reject, Retry, batch_handler
from rsq_pipe.verbs import BatchContext, StageContext


class Order(BaseModel):
    total: float


@dataclass
class Line:
    quantity: int


class Customer(TypedDict):
    name: str


class Table:
    def __init__(self, path: str) -> None:
        self.path = path


def per_record(order: dict[str, Any]) -> dict[str, Any] | None:
    return order or None


def splitting(order: dict[str, Any]) -> list[dict[str, Any] | Emit]:
    return [order, Emit(order, to="large", headers={"kind": "large"})]


def deciding(order: Order, ctx: Context) -> Order | Drop | Retry | Reject:
    if ctx.attempt > 2:
        return Reject("three times is enough")
    if order.total < 0:
        return Drop("refund")
    return Retry("30s", reason="later") if order.total > ctx.values.limit else order


async def asynchronous(line: Line, ctx: Context) -> Line:
    ctx.logger.info("seen", rid=ctx.rid)
    return line


@batch_handler
def per_batch(customers: list[Customer], ctx: BatchContext) -> list[Customer | None]:
    return [customer if rid else None for customer, rid in zip(customers, ctx.rids, strict=True)]


@batch_handler
async def async_per_batch(orders: list[Order]) -> list[Order]:
    return orders


def load(stage: StageContext) -> Table:
    return Table(stage.values.customers)


@contextmanager
def cursor() -> Iterator[sqlite3.Cursor]:
    with sqlite3.connect(":memory:") as connection:
        yield connection.cursor()


async def connect() -> Table:
    return Table("pool")


@asynccontextmanager
async def session() -> AsyncIterator[Table]:
    yield Table("session")


async def with_resources(order: dict[str, Any], ctx: Context) -> dict[str, Any]:
    assert_type(ctx.resource(load), Table)
    assert_type(ctx.resource(lambda: Table("x")), Table)
    assert_type(ctx.resource(cursor), sqlite3.Cursor)
    assert_type(await ctx.async_resource(connect), Table)
    assert_type(await ctx.async_resource(session), Table)
    return order


def the_mark_keeps_types(order: Order) -> None:
    assert_type(async_per_batch.__name__, str)
    assert_type(per_batch([], None), list[Customer | None])  # type: ignore[arg-type]
