"""Surroundings: what expressions are told of each record besides its fields: its arrival, id and headers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.expressions.clock import MOMENT
from rsq_pipe.spec.expressions.envelope import HEADERS
from rsq_pipe.verbs.record_headers import whole

_FIRST = 1_000_000_000
"""Seconds since 1970 (2001) below which an entry id is not a time: producers may use numbers of their own."""


def surrounded(batch: Batch) -> Iterator[Any]:
    """
    Yield a batch's records, with the clock and the headers of expressions set to those of each.

    The clock is at the time of the record's entry, which the server set: it stays the same when a worker dies
    and another one handles the record again, and for all fused stages. A source's records have no entry: they
    arrive when they are read, as nothing was derived from them before.
    """
    read = time.time()
    times = [_time(delivery.id) or read for delivery in batch.deliveries]
    try:
        for place, (record, origin) in enumerate(zip(batch.records, batch.origins, strict=True)):
            MOMENT.set(times[origin] if times else read)
            HEADERS.set(whole(batch, place))
            yield record
    finally:
        MOMENT.set(None)
        HEADERS.set(None)


def _time(entry: str) -> float:
    seconds = int(entry.partition("-")[0]) / 1_000
    return seconds if _FIRST <= seconds < time.time() + 86_400 else 0.0
