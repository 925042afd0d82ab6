"""The Python of pipelines/flights.yaml."""

from __future__ import annotations

import csv
from typing import Any

from rsq_pipe import BatchContext, Reject, StageContext, batch_handler


@batch_handler
def name_carriers(flights: list[dict[str, Any]], ctx: BatchContext) -> list[dict[str, Any] | Reject]:
    """Add the carrier's name to each flight of a batch: one outcome per flight, in order."""
    names = ctx.resource(airlines)
    return [
        {**flight, "carrier_name": names[flight["carrier"]]}
        if flight["carrier"] in names
        else Reject(f"there is no carrier {flight['carrier']!r} in {ctx.values['airlines']}")
        for flight in flights
    ]


def airlines(ctx: StageContext) -> dict[str, str]:
    """Read the carriers' names by code; called once per stage, for `ctx.resource`."""
    with (ctx.root / ctx.values["airlines"]).open(encoding="utf-8", newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}
