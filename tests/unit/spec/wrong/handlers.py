"""Handlers that the wrong specs name."""

from __future__ import annotations

from typing import Any

TAX = 0.2


def price(order: dict[str, Any]) -> dict[str, Any]:
    return order


def three(order: dict[str, Any], tax: float, discount: float) -> dict[str, Any]:
    return order | {"total": tax * discount}


def none() -> None:
    return None
