"""The Python of pipeline.yaml."""

from __future__ import annotations

from typing import Any

from rsq_pipe import Context, Reject


def convert(invoice: dict[str, Any], ctx: Context) -> dict[str, Any] | Reject:
    """Add the total in euros."""
    rate = ctx.values["rates"].get(invoice["currency"])
    if rate is None:
        return Reject(f"there is no rate for the currency {invoice['currency']!r}")
    if invoice["amount"] is None:
        raise ValueError(f"invoice {invoice['id']} has no amount")
    return {**invoice, "euros": round(invoice["amount"] * rate, 2)}
