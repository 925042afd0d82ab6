"""dedupe: passes on the first record of each key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import ceil, inf
from typing import Any, ClassVar

from msgspec import Struct

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.model.state import (
    KEYS,
    SCALARS,
    Fields,
    Known,
    Now,
    StateChange,
    StateReader,
    Timers,
    decoded,
)
from rsq_pipe.spec.stages.dedupe import Deduplication
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.members import member_maker
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.verb import PlainVerb

DUPLICATE = "duplicate"
"""The drop reason."""

NEWEST, BEGUN, FILLED = "newest", "begun", "filled"
"""The scalars for the bucket that keys are added to: its name, when it was begun, its number of keys."""

_SCALARS = (NEWEST, BEGUN, FILLED, KEYS)

PARTS = 8
"""Number of buckets for the time, or the number of keys, that is remembered."""


class Dedupe(PlainVerb):
    """
    Pass on the first record of each key, in the order they are handled; drop and count the others.

    Keys are kept in buckets, a sequence of sets: keys are added only to the newest, and whole buckets are
    deleted. So a record is new if no bucket has its key; at settlement that still holds if the newest
    bucket is still the newest and has none of the keys.

    Args:
        stage: For messages.
        options: The key, and for how long it is remembered.
        state: Reads the remembered keys.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, options: Deduplication, state: StateReader) -> None:
        self._stage = stage
        self._of = options
        self._member = member_maker(options.key)
        self._state = state
        self._within = inf if options.within is None else options.within * 1000
        self._buckets: list[str] = []
        self._assumed: frozenset[Any] = frozenset()

    looks_ahead: ClassVar[bool] = True

    def assume(self, change: StateChange | None) -> None:
        """Assume that the keys that a change adds are remembered."""
        writes = change.writes if change else ()
        self._assumed = frozenset(member for op in writes if op.kind == "add" for member in op.words)

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch with one read of the state, and occasionally a second one if a bucket is new."""
        first: dict[bytes, int] = {}
        dropped: list[int] = []
        failed: dict[int, Failure | Retry | Reject] = {}
        member = self._member
        for place, record in enumerate(batch.records):
            try:
                key = member(record)
            except Exception as exc:  # noqa: BLE001 - a record may be anything
                failed[place] = expression_failure(exc, self._stage, "dedupe.key")
                continue
            if first.setdefault(key, place) != place:
                dropped.append(place)
        change = None
        if first:
            members = list(first)
            seen = await self._look(members)
            known = {members[place] for place in seen.known}.union(self._assumed & first.keys())
            dropped += [first.pop(member) for member in known]
            change = self._change(seen, list(first))
        dropped.sort()
        kept = [*first.values()]
        return Outcomes(
            {"": passed(batch, kept)} if kept else {},
            {DUPLICATE: dropped} if dropped else {},
            failed,
            state=change,
        )

    async def _look(self, members: list[bytes]) -> _Seen:
        """Read which members are remembered."""
        now, scalars, timers, known = await self._state.ask(
            Now(), Fields(_SCALARS), Timers(), Known(self._buckets, members)
        )
        buckets = [name for name, due in timers.items() if due > now]
        if buckets != self._buckets:
            # Keys are added only to the newest, and a newer one would be noticed at settlement, so these can
            # be read later.
            self._buckets = buckets
            (known,) = await self._state.ask(Known(buckets, members))
        newest, *numbers = decoded(scalars)
        return _Seen(now, timers, known, newest, *(int(number or 0) for number in numbers))

    def _change(self, seen: _Seen, members: list[bytes]) -> StateChange | None:
        """Add members to the newest bucket, or to a new one; delete buckets that are due or too many."""
        due = [name for name, at in seen.timers.items() if at <= seen.now]
        if not members and not due:
            return None
        change = StateChange(most=0 if self._of.evicts else self._of.max_keys)
        for name in due:
            change.unlink(name)
        if members:
            self._add(change, seen, members, is_due=seen.newest in due)
        return change

    def _add(self, change: StateChange, seen: _Seen, members: list[bytes], *, is_due: bool) -> None:
        newest = bucket = seen.newest
        change.equals(SCALARS, {NEWEST: newest or None})
        if newest and not is_due:
            change.lacks(newest, members)
        if self._is_over(seen):
            bucket = str(int(newest or 0) + 1)
            change.set(SCALARS, {NEWEST: bucket, BEGUN: seen.now, FILLED: 0})
            change.timer({bucket: seen.now + self._within * (1 + 1 / PARTS)})
        change.count({FILLED: len(members)})
        change.add(bucket, members)
        for name in self._evicted(seen, len(members), bucket):
            change.unlink(name, evicted=True)

    def _is_over(self, seen: _Seen) -> bool:
        """Return whether the newest bucket is full: it was begun too long ago, or holds too many keys."""
        is_full = self._of.evicts and seen.filled >= self._of.max_keys / PARTS
        is_old = seen.now >= seen.begun + self._within / PARTS
        # Otherwise a bucket from before `within` was made longer would delete new keys too early.
        return is_full or is_old or seen.timers.get(seen.newest, 0.0) < seen.now + self._within

    def _evicted(self, seen: _Seen, new: int, bucket: str) -> list[str]:
        """Choose the buckets to delete to make room; all but the newest hold about the same number."""
        over = seen.keys + new - self._of.max_keys
        if not self._of.evicts or over <= 0:
            return []
        oldest = sorted((name for name, at in seen.timers.items() if at > seen.now), key=int)
        return [name for name in oldest if name != bucket][: ceil(over * PARTS / self._of.max_keys)]


class _Seen(Struct, frozen=True):
    """
    Hold the remembered keys at one moment.

    Args:
        now: The moment, in milliseconds since 1970.
        timers: Bucket -> when it is due.
        known: Places of the members that are in a bucket.
        newest: The bucket that keys are added to; empty if there is none yet.
        begun: When that bucket was begun.
        filled: How many keys it holds.
        keys: How many all buckets hold.
    """

    now: int
    timers: Mapping[str, float]
    known: Collection[int]
    newest: str
    begun: int
    filled: int
    keys: int
