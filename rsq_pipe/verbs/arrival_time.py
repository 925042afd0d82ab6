"""Arrival time: when each record of a batch arrived, for expressions that use `now()`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.clock import MOMENT

_FIRST = 1_000_000_000
"""Seconds since 1970 (2001) below which an entry id is not a time: producers may use numbers of their own."""


def timed(batch: Batch) -> Iterator[Any]:
    """
    Yield a batch's records, with the clock of expressions set to the time each arrived.

    That is the time of its entry, which the server set: it stays the same when a worker dies and another one
    handles the record again, and for all fused stages. A source's records have no entry: they arrive when
    they are read, as nothing was derived from them before.
    """
    read = time.time()
    times = [_time(delivery.id) or read for delivery in batch.deliveries]
    try:
        if not times:
            MOMENT.set(read)
            yield from batch.records
            return
        for record, origin in zip(batch.records, batch.origins, strict=True):
            MOMENT.set(times[origin])
            yield record
    finally:
        MOMENT.set(None)


def _time(entry: str) -> float:
    seconds = int(entry.partition("-")[0]) / 1_000
    return seconds if _FIRST <= seconds < time.time() + 86_400 else 0.0
