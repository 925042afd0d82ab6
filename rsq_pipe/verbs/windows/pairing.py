"""Pairing: pairs the records of a batch with waiting ones and with each other; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field

from rsq_pipe.errors import RecordInvalidError
from rsq_pipe.ids import pair
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import MAX_CHILDREN, Emitted, Failure, Outcomes
from rsq_pipe.model.waiting import Waiting
from rsq_pipe.spec.stages.join import SIDES, Joining
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.record_headers import onward

Record = dict[str, Any]
LETTERS = (b"L", b"R")
"""The prefix of a field's name in the state: the side; its key follows."""

Keyed: TypeAlias = tuple[int, bytes, bytes]
"""The side of a record, 0 for the left one, the field in which it waits, and that of its matches."""


def keyed(side: int, key: bytes | None) -> Keyed:
    """Return the side and fields of a record; empty fields if its key is null."""
    return (side, b"", b"") if key is None else (side, LETTERS[side] + key, LETTERS[1 - side] + key)


UNMATCHED = "unmatched"
"""The drop reason of a record without a match, if no stage reads the port of its side."""


class Shape:
    """
    Make the records that leave a join.

    Args:
        stage: For messages.
        joining: The join's options.
        ports: The sides whose unmatched records a stage reads.
    """

    def __init__(self, stage: str, joining: Joining, ports: Collection[str]) -> None:
        self._stage = stage
        self._left, self._right = joining.left_name, joining.right_name
        self._keeps = tuple(joining.keeps(side) for side in SIDES)
        self._ports = tuple(side if side in ports else None for side in SIDES)

    def of(self, left: Record | None, right: Record | None) -> Record:
        """Put two records into one; None for a missing one."""
        if self._left:
            return {self._left: left, self._right: right}
        assert left is not None  # the specification ensures it
        return {**left, self._right: right}

    def alone(self, side: int, record: Record) -> tuple[str | None, Record]:
        """Return the port of a record without a match, None for none, and the record to send there."""
        if self._keeps[side]:
            return "", self.of(None, record) if side else self.of(record, None)
        return self._ports[side], record

    def check(self, side: int, record: Record) -> None:
        """Refuse a left record that already has the field where the right one goes."""
        if side == 0 and not self._left and self._right in record:
            raise RecordInvalidError(
                f"stage {self._stage!r}: the left record has a field {self._right!r} already, where the "
                "right one would go; rename it with `as: {right: NAME}`",
                stage=self._stage,
                fields={self._right: "is there already"},
            )


class Pairs(Struct):
    """
    Hold the result of pairing a batch.

    Args:
        outcomes: Pairs, and records that left alone, failed or wait.
        new: Field -> the records of this batch that wait in it now.
        met: Fields whose waiting records have found a match now.
    """

    outcomes: Outcomes
    new: dict[bytes, list[Waiting]] = field(default_factory=dict)
    met: dict[bytes, None] = field(default_factory=dict)


class Pairing:
    """
    Pair the records of one batch with those that wait, and with each other, in their order.

    Args:
        stage: For messages.
        shape: Builds the records that leave.
        batch: The batch.
        form: The serializer of waiting records.
    """

    def __init__(self, stage: str, shape: Shape, batch: Batch, form: Serializer) -> None:
        self._stage, self._shape, self._batch = stage, shape, batch
        self._decode, self._encode = form.decode, form.encode
        self._emitted: dict[str, tuple[list[Record], list[str], list[int]]] = {}
        self._dropped: list[int] = []
        self._stored: list[int] = []

    def made(
        self,
        keys: Mapping[int, Keyed],
        waiting: Callable[[bytes], Sequence[Waiting]],
        failed: dict[int, Any],
    ) -> Pairs:
        """
        Pair the records of a batch with those that wait and with each other.

        Args:
            keys: Place in the batch -> side and fields, for the records that have a key.
            waiting: Returns the records already waiting in a field.
            failed: Earlier failures; new ones are added.
        """
        found = Pairs(Outcomes(failed=failed))
        for place, one in keys.items():
            if not one[1]:
                self._leave(place, one[0])
                continue
            try:
                self._join(place, one, waiting, found)
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
        keyed: Keyed,
        waiting: Callable[[bytes], Sequence[Waiting]],
        found: Pairs,
    ) -> None:
        side, here, across = keyed
        record, rid = self._batch.records[place], self._batch.rids[place]
        if side == 0:
            self._shape.check(side, record)
        own = found.new.get(here, ())
        # On its own side too, since each of them forms a pair with one record of the other.
        if len(waiting(here)) + len(own) >= MAX_CHILDREN:
            raise RecordInvalidError(
                f"stage {self._stage!r}: {MAX_CHILDREN:,} records of the {SIDES[side]} side wait for this "
                "key already; the pairs of one record are written at once, so there can be no more: join by "
                "more fields",
                stage=self._stage,
            )
        raw = self._encode(record)
        known, fresh = waiting(across), found.new.get(across, ())
        if known or fresh:
            self._put_together(place, side, raw, [*known, *fresh])
            if known:
                found.met[across] = None
            for other in fresh:
                other.met = True
        found.new.setdefault(here, []).append(Waiting(rid, raw, bool(known or fresh)))
        self._stored.append(place)

    def _put_together(self, place: int, side: int, raw: bytes, others: Sequence[Waiting]) -> None:
        # Each gets its own copies: a handler below, fused with this stage, may modify its record.
        decode, of, rid = self._decode, self._shape.of, self._batch.rids[place]
        if side:
            made = [of(decode(other.raw), decode(raw)) for other in others]
            made_ids = [pair(other.rid, rid) for other in others]
        else:
            made = [of(decode(raw), decode(other.raw)) for other in others]
            made_ids = [pair(rid, other.rid) for other in others]
        records, rids, sources = self._emitted.setdefault("", ([], [], []))
        records += made
        rids += made_ids
        sources += [place] * len(made)

    def _leave(self, place: int, side: int) -> None:
        """Emit a record whose key is null: there is nothing to wait for."""
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
