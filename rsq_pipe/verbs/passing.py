"""Passing: emits records unchanged or one for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch, taken
from rsq_pipe.model.outcome import Emitted, Failure, Outcomes, Reject, Retry
from rsq_pipe.model.record_ids import picked
from rsq_pipe.verbs.record_headers import onward
from rsq_pipe.verbs.verb import PlainVerb


def passed(batch: Batch, places: Sequence[int] | None = None) -> Emitted:
    """Emit the records at some places, ascending, unchanged; all of them if none are given."""
    if places is None or len(places) == len(batch):
        return made(batch, batch.records)
    records = batch.records
    return made(batch, [records[place] for place in places], places)


def made(batch: Batch, records: list[Any], places: Sequence[int] | None = None) -> Emitted:
    """
    Emit one new record for each at these places; for all of them if none are given.

    Columns that stay complete are shared with the batch, not copied.
    """
    headers = onward(batch.headers) if batch.headers else {}
    if places is None or len(places) == len(batch):
        return Emitted(records, batch.rids, range(len(batch)), headers)
    return Emitted(records, picked(batch.rids, places), places, taken(headers, places))


def remade(batch: Batch, records: list[Any], failed: dict[int, Failure | Retry | Reject]) -> Outcomes:
    """Return the outcomes of a batch of which each record became one other, except those that failed."""
    if not failed:
        return Outcomes({"": made(batch, records)} if records else {})
    places = [place for place in range(len(batch)) if place not in failed]
    return Outcomes({"": made(batch, records, places)} if records else {}, failed=failed)


class Pass(PlainVerb):
    """Pass each record on unchanged."""

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str] | None] = frozenset()

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch."""
        return Outcomes({"": passed(batch)} if len(batch) else {})
