"""Results: turns the groups of a closed window into records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from rsq_pipe.ids import result_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.own_stack import on_own_stack
from rsq_pipe.model.partials import unpacked
from rsq_pipe.spec.stages.aggregate import FINAL, Aggregation
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.verb import PlainVerb
from rsq_pipe.verbs.windows.folding import Folding
from rsq_pipe.verbs.windows.local_days import local_days
from rsq_pipe.verbs.windows.moments import spelled
from rsq_pipe.verbs.windows.window_state import SESSIONS, window_end

REASON = "having"


class Group(NamedTuple):
    """
    Describe a group of a window.

    Args:
        start: The window's start, or how often all input had ended if there are no windows.
        end: Its end.
        name: The values that define the group, as JSON.
        partials: The partials of its records.
        turn: The round in which it is emitted while its window is open; None if the window has closed.
    """

    start: int
    end: int
    name: bytes
    partials: Sequence[Any]
    turn: int | None = None


class Results(PlainVerb):
    """
    Build the results of groups, and pass those that meet the `having` condition.

    Args:
        stage: The stage's name.
        of: What it computes.
        any_size: Whether integers of more than 64 bits can be written; else they were floats.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[None] = None

    def __init__(self, stage: str, of: Aggregation, *, any_size: bool = True) -> None:
        self._stage = stage
        self._of = of
        self._any_size = any_size
        self._folding = Folding(of.compute, stage)
        windows = of.windows
        local = local_days(windows.zone, windows.every, windows.over) if windows and windows.zone else None
        self._written = local.spelled if local else spelled

    def batch(self, bucket: int, fields: Iterable[tuple[bytes, bytes]]) -> Batch:
        """
        Build the results of some groups of a window.

        Args:
            bucket: The window's start, or how often all input had ended if there are none.
            fields: The values that define a group, as JSON, and its partials.
        """
        return self.batch_of([(bucket, fields)])

    def batch_of(self, buckets: Iterable[tuple[int, Iterable[tuple[bytes, bytes]]]]) -> Batch:
        """Build the results of some groups of several windows: their starts and fields, as above."""
        ends = ((bucket, window_end(bucket, self._of.windows), fields) for bucket, fields in buckets)
        return self.of(
            Group(bucket, end, name, unpacked(partials))
            for bucket, end, fields in ends
            for name, partials in fields
        )

    def of(self, groups: Iterable[Group]) -> Batch:
        """Build the results of some groups."""
        records: list[Any] = []
        rids: list[str] = []
        for group in groups:
            values = on_own_stack(msgspec.json.decode, group.name)
            window = spelled(group.start) if self._of.windows else str(group.start)
            records.append(self._record(group, values))
            if group.turn is not None:
                window += f"+{group.turn}"
            rids.append(result_id(self._stage, window, values))
        return Batch(records, rids, original=lambda place: on_own_stack(msgspec.json.encode, records[place]))

    def described(self, bucket: str, group: bytes, raw: bytes) -> Any:
        """Return what a bucket holds for a group: its result so far, or those of its sessions."""
        windows = self._of.windows
        if bucket != SESSIONS or windows is None:
            return self.batch(int(bucket), [(group, raw)]).records[0]
        sessions = unpacked(raw)
        return self.of(Group(one[0], one[1] + windows.gap, group, one[2:]) for one in sessions).records

    def _record(self, group: Group, values: list[Any]) -> dict[str, Any]:
        if not self._any_size:
            values = [*map(_as_float, values)]
        record = {name: value for (name, _), value in zip(self._of.by, values, strict=True)}
        windows = self._of.windows
        if windows is not None:
            record[windows.start] = self._written(group.start)
            record[windows.end] = self._written(group.end)
        record |= self._folding.results(group.partials)
        return record if self._of.emit is None else {**record, FINAL: group.turn is None}

    async def process(self, batch: Batch) -> Outcomes:
        """Pass the results for which `having` is true; comparing null with anything is not."""
        if self._of.having is None:
            return Outcomes({"": passed(batch)} if batch.records else {})
        kept = [place for place, record in enumerate(batch.records) if self._holds(record)]
        gone = sorted({*range(len(batch))} - {*kept})
        return Outcomes({"": passed(batch, kept)} if kept else {}, {REASON: gone} if gone else {})

    def _holds(self, record: dict[str, Any]) -> bool:
        assert self._of.having is not None
        try:
            return bool(self._of.having.evaluate(record))
        except Exception:  # noqa: BLE001 - an expression can raise whatever Python can
            return False


def _as_float(value: Any) -> Any:
    """Turn a large whole number back into the float that it was: a group's name has one form for both."""
    if type(value) is not int or -(2**63) <= value < 2**64:
        return value
    try:
        number = float(value)
    except OverflowError:
        return value
    return number if number == value else value
