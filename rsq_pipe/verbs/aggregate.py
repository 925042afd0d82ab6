"""aggregate: merges records into the partials of their groups, sent on as results when a window closes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any, ClassVar, TypeAlias

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.model.partials import apart, packed
from rsq_pipe.model.state import SCALARS, Fields, Now, StateChange, StateReader
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.aggregate import LATE, Aggregation
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.verb import PlainVerb
from rsq_pipe.verbs.windows.arguments import Failed
from rsq_pipe.verbs.windows.event_times import EventTimes
from rsq_pipe.verbs.windows.folding import Folding, Places
from rsq_pipe.verbs.windows.group_keys import GroupKeys
from rsq_pipe.verbs.windows.window_state import (
    CLOSED,
    ROUND,
    SESSIONS,
    changed,
    closed_until,
    due_times,
    seen_times,
)

Slots: TypeAlias = dict[tuple[Any, Any], list[int]]
"""Window and group -> the places of their records."""


MOMENT = 0.1
"""Seconds for which a reading of the state is reused."""


class Aggregate(PlainVerb):
    """
    Merge records into the partials of their windows and groups, in the settlement of their entries.

    Args:
        stage: The stage.
        pipeline: The pipeline's name, used to distinguish its inputs from retries.
        state: Reads the stage's state.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str]] = frozenset()
    """Only late records leave here, unchanged."""

    def __init__(self, stage: Stage, pipeline: str, state: StateReader) -> None:
        of: Aggregation = stage.options
        self._of = of
        self._stage = stage.name
        self._has_late = LATE in stage.outputs
        self._inputs = {ref.key(pipeline): ref.name for ref in stage.inputs}
        self._state = state
        self._keys = GroupKeys(of.by, stage.name)
        self._times = EventTimes(of, stage.name)
        self._folding = Folding(of.compute, stage.name)
        self._seen: tuple[list[Any] | None, float, int] = None, 0.0, 0

    looks_ahead: ClassVar[bool] = True

    def assume(self, change: StateChange | None) -> None:
        """Do nothing: no partial is read, and everything else that is read is checked."""

    async def process(self, batch: Batch) -> Outcomes:
        """
        Handle one batch, given which windows are closed.

        Raises:
            StreamError: From the server.
        """
        failed: Failed = {}
        records = batch.records
        times = self._times.of(records, failed)
        keys = self._keys.of(records, failed)
        columns = self._folding.columns(records, failed)
        stored, now = await self._look()
        emits = self._of.emit is not None
        # A group that has changed is also noted separately, and so counts twice.
        change = StateChange(most=self._of.max_keys * (2 if emits else 1))
        change.equals(SCALARS, {CLOSED: stored[0], **({ROUND: stored[1]} if emits else {})})
        closed = closed_until(stored[0], self._of.windows)
        if self._of.windows and times is not None:
            starts: Sequence[Sequence[int | str]] = self._times.windows(times, closed)
            change.rise(seen_times(batch, self._inputs, times, failed, now))
        else:
            starts = [(closed,)] * len(records)
        late = [place for place, some in enumerate(starts) if not some and place not in failed]
        fold = self._folding.over(columns, times, batch.rids)
        slots = _slots(starts, keys, failed)
        if self._of.windows and self._of.windows.gap and times is not None:
            self._merge_sessions(change, slots, fold, times, self._of.windows.gap)
        else:
            self._merge(change, slots, fold)
        if emits:
            self._note_changed(change, slots, int(stored[1] or 0))
        kept = _kept(len(records), failed, late)
        emitted = {LATE: passed(batch, late)} if late and self._has_late else {}
        dropped = {LATE: late} if late and not self._has_late else {}
        return Outcomes(
            emitted,
            dropped,
            dict(sorted(failed.items())),
            stored=kept,
            state=change if kept or late else None,
        )

    async def _look(self) -> tuple[list[bytes | None], int]:
        """
        Return up to when windows are closed, which round it is, and the server's time.

        A recent reading is reused until a settlement finds it outdated: every settlement checks it.
        """
        seen, at, refused = self._seen
        clock = monotonic()
        if seen is None or clock - at > MOMENT or refused != self._state.refused or self._of.emit is not None:
            seen = await self._state.ask(Fields([CLOSED, ROUND]), Now())
            self._seen = seen, monotonic(), self._state.refused
            return seen[0], seen[1]
        return seen[0], seen[1] + round((clock - at) * 1000)

    def _merge(self, change: StateChange, slots: Slots, fold: Callable[[Places], list[Any]]) -> None:
        buckets: dict[Any, dict[str | bytes, bytes]] = defaultdict(dict)
        for (start, key), places in slots.items():
            buckets[start][self._keys.written(key)] = packed(fold(places))
        for start, partials in buckets.items():
            change.merge(str(start), self._folding.kinds, partials)
        change.timer(due_times(buckets, self._of.windows))

    def _note_changed(self, change: StateChange, slots: Slots, turn: int) -> None:
        """Note which groups have a result to emit in the next round."""
        if slots:
            names = (f"{start} {self._keys.written(key).decode()}" for start, key in slots)
            change.set(changed(turn), dict.fromkeys(names, "1"))
            change.timer({changed(turn): float("inf")})

    def _merge_sessions(
        self,
        change: StateChange,
        slots: Slots,
        fold: Callable[[Places], list[Any]],
        times: Sequence[int],
        gap: int,
    ) -> None:
        partials: dict[str | bytes, bytes] = {}
        due: dict[str, int | float] = {SESSIONS: float("inf")}
        for (_, key), places in slots.items():
            group = self._keys.written(key)
            sessions = [[times[some[0]], times[some[-1]], *fold(some)] for some in apart(times, places, gap)]
            partials[group] = packed(sessions)
            due[group.decode()] = sessions[0][1] + gap
        if partials:
            change.merge(SESSIONS, f"{gap}~{self._folding.kinds}", partials)
            change.timer(due, only="LT")  # it may be too early: an earlier session may be extended


def _slots(starts: Iterable[Sequence[int | str]], keys: Iterable[Any], failed: Failed) -> Slots:
    """Group the places of records by window and group."""
    slots: Slots = defaultdict(list)
    for place, (some, key) in enumerate(zip(starts, keys, strict=True)):
        if place not in failed:
            for start in some:
                slots[start, key].append(place)
    return slots


def _kept(count: int, failed: Failed, late: Places) -> Places:
    if not failed and not late:
        return range(count)
    gone = {*failed, *late}
    return [place for place in range(count) if place not in gone]
