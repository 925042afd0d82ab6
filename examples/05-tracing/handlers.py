"""Prices orders; the rum is in bond, and its price is to be had at the second asking only."""

from __future__ import annotations

from typing import Any

from rsq_pipe import Context

PRICES = {"tea": 3.5, "rum": 12.0, "ink": 1.25}


def price(order: dict[str, Any], ctx: Context) -> dict[str, Any]:
    """Add the total."""
    if order["item"] == "rum" and ctx.attempt == 1:
        raise ConnectionError("the customs house does not answer")
    ctx.logger.info("priced", item=order["item"])
    return order | {"total": PRICES[order["item"]] * order["quantity"]}
