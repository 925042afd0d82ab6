"""Pairing: which records of a batch belong to which, of those that wait and of each other; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rsq_pipe.errors import RecordInvalidError
from rsq_pipe.ids import pair
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import MAX_CHILDREN, Emitted, Failure, Outcomes
from rsq_pipe.model.waiting import Waiting
from rsq_pipe.spec.join import SIDES, Joining
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.record_headers import onward

Record = dict[str, Any]
Place = tuple[int, bytes]
"""Where a record waits: 0 for the left side and 1 for the right, and its key."""

LETTERS = (b"L", b"R")
"""What the name of a field in the state begins with: the side; its key follows."""

UNMATCHED = "unmatched"
"""Why a record is dropped that found no other, where nobody reads the port of its side."""


class Shape:
    """
    Make the records that leave a join.

    Args:
        stage: For messages.
        joining: What is joined.
        ports: The sides whose unmatched records a stage reads.
    """

    def __init__(self, stage: str, joining: Joining, ports: Collection[str]) -> None:
        self._stage = stage
        self._left, self._right = joining.left_name, joining.right_name
        self._keeps = tuple(joining.keeps(side) for side in SIDES)
        self._ports = tuple(side if side in ports else None for side in SIDES)

    def of(self, left: Record | None, right: Record | None) -> Record:
        """Put two records into one; None for one that was not found."""
        if self._left:
            return {self._left: left, self._right: right}
        assert left is not None  # the specification sees to it
        return {**left, self._right: right}

    def alone(self, side: int, record: Record) -> tuple[str | None, Record]:
        """Say by which port a record goes that found no other, None for none, and as what."""
        if self._keeps[side]:
            return "", self.of(None, record) if side else self.of(record, None)
        return self._ports[side], record

    def check(self, side: int, record: Record) -> None:
        """Refuse a left record that has a field where the right one is to stand."""
        if side == 0 and not self._left and self._right in record:
            raise RecordInvalidError(
                f"stage {self._stage!r}: the left record has a field {self._right!r} already, where the "
                "right one is to stand; name that by `as: {right: NAME}`",
                stage=self._stage,
                fields={self._right: "is there already"},
            )


@dataclass(slots=True)
class Pairs:
    """
    Hold what a batch has become.

    Args:
        outcomes: Pairs, and what left alone, failed or waits.
        new: Where they wait -> the records of this batch that wait now.
        met: Where others waited that have found a record now.
    """

    outcomes: Outcomes
    new: dict[Place, list[Waiting]] = field(default_factory=dict)
    met: dict[Place, None] = field(default_factory=dict)


class Pairing:
    """
    Put the records of one batch together with those that wait, and with each other, in their order.

    Args:
        stage: For messages.
        shape: Makes what leaves.
        batch: The batch.
        form: How a record that waits is written.
    """

    def __init__(self, stage: str, shape: Shape, batch: Batch, form: Serializer) -> None:
        self._stage, self._shape, self._batch = stage, shape, batch
        self._decode, self._encode = form.decode, form.encode
        self._emitted: dict[str, tuple[list[Record], list[str], list[int]]] = {}
        self._dropped: list[int] = []
        self._stored: list[int] = []

    def made(
        self,
        keys: Mapping[int, tuple[int, bytes | None]],
        waiting: Callable[[Place], Sequence[Waiting]],
        failed: dict[int, Any],
    ) -> Pairs:
        """
        Put them together.

        Args:
            keys: Place in the batch -> side and key, of the records that have one; None for a key of null.
            waiting: Tells who waits there already, of both sides.
            failed: What has failed before; what fails here is added.
        """
        found = Pairs(Outcomes(failed=failed))
        for place, (side, key) in keys.items():
            if key is None:
                self._leave(place, side)
                continue
            try:
                self._join(place, side, key, waiting, found)
            except Exception as exc:  # noqa: BLE001 - a record may be anything
                failed[place] = Failure(exc, retryable=False)
        outcomes = found.outcomes
        for port, (records, rids, sources) in self._emitted.items():
            outcomes.emitted[port] = Emitted(records, rids, sources, self._headers(sources))
        if self._dropped:
            outcomes.dropped[UNMATCHED] = self._dropped
        outcomes.stored = self._stored
        return found

    def _join(
        self,
        place: int,
        side: int,
        key: bytes,
        waiting: Callable[[Place], Sequence[Waiting]],
        found: Pairs,
    ) -> None:
        record, rid = self._batch.records[place], self._batch.rids[place]
        self._shape.check(side, record)
        across = (1 - side, key)
        known, fresh = waiting(across), found.new.get(across, ())
        own = found.new.get((side, key), ())
        # Also of its own side, since all of them are a pair each for one record of the other.
        if len(waiting((side, key))) + len(own) >= MAX_CHILDREN:
            raise RecordInvalidError(
                f"stage {self._stage!r}: {MAX_CHILDREN:,} records of the {SIDES[side]} side wait for this "
                "key already; the pairs of one record are written at once, so there can be no more: join by "
                "more fields",
                stage=self._stage,
            )
        raw = self._encode(record)
        made = [self._pair(side, raw, other) for other in (*known, *fresh)]
        if made:
            records, rids, sources = self._emitted.setdefault("", ([], [], []))
            records += made
            others = [other.rid for other in (*known, *fresh)]
            rids += [pair(other, rid) if side else pair(rid, other) for other in others]
            sources += [place] * len(made)
            if known:
                found.met[across] = None
            for other in fresh:
                other.met = True
        found.new.setdefault((side, key), []).append(Waiting(rid, raw, met=bool(made)))
        self._stored.append(place)

    def _pair(self, side: int, raw: bytes, other: Waiting) -> Record:
        # Records of their own each: a handler below, fused with this stage, may change what it gets.
        mine, theirs = self._decode(raw), self._decode(other.raw)
        return self._shape.of(theirs, mine) if side else self._shape.of(mine, theirs)

    def _leave(self, place: int, side: int) -> None:
        """Send a record on whose key is null: there is nothing to wait for."""
        port, record = self._shape.alone(side, self._batch.records[place])
        if port is None:
            self._dropped.append(place)
            return
        records, rids, sources = self._emitted.setdefault(port, ([], [], []))
        records.append(record)
        rids.append(self._batch.rids[place])
        sources.append(place)

    def _headers(self, sources: Sequence[int]) -> dict[int, Mapping[str, str]]:
        if not self._batch.headers:
            return {}
        going = onward(self._batch.headers)
        return {new: going[source] for new, source in enumerate(sources) if source in going}
