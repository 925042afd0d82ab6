"""Handlers that the wrong specs name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

TAX = 0.2


def price(order: dict[str, Any]) -> dict[str, Any]:
    return order


def three(order: dict[str, Any], tax: float, discount: float) -> dict[str, Any]:
    return order | {"total": tax * discount}


def none() -> None:
    return None


def orders(position: int | None, region: str) -> Iterator[dict[str, Any]]:
    yield {"position": position, "region": region}


def store(records: list[dict[str, Any]], rids: list[str], table: str, size: int = 1) -> None:
    return None
