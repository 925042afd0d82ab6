"""Unmatched: the records of a join that found no match by the end of their wait."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Outcomes
from rsq_pipe.model.waiting import all_met, read
from rsq_pipe.spec.stages.join import SIDES
from rsq_pipe.streams.headers import INPUT
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.verb import PlainVerb
from rsq_pipe.verbs.windows.pairing import LETTERS, UNMATCHED, Shape


class Unmatched(PlainVerb):
    """
    Emit waiting records without a match: with null for it, through the port of its side, or not at all.

    Args:
        shape: Builds the records that leave.
        form: The serializer of waiting records.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, shape: Shape, form: Serializer) -> None:
        self._shape = shape
        self._form = form

    def batch(self, bucket: int, fields: Iterable[tuple[bytes, bytes]]) -> Batch:  # noqa: ARG002 - as Results
        """
        List the records of a bucket that found no match.

        Args:
            bucket: Its number.
            fields: Side and key -> the records that wait there.
        """
        found = [
            (LETTERS.index(name[:1]), one)
            for name, value in fields
            if not all_met(value)
            for one in read(value)
            if not one.met
        ]
        return Batch(
            [self._form.decode(one.raw) for _, one in found],
            [one.rid for _, one in found],
            headers={place: {INPUT: SIDES[side]} for place, (side, _) in enumerate(found)},
            original=lambda place: found[place][1].raw,
        )

    async def process(self, batch: Batch) -> Outcomes:
        """Emit each record where unmatched records of its side go."""
        emitted: dict[str, tuple[list[Any], list[str], list[int]]] = {}
        dropped: list[int] = []
        for place, record in enumerate(batch.records):
            port, made = self._shape.alone(SIDES.index(batch.headers_at(place)[INPUT]), record)
            if port is None:
                dropped.append(place)
                continue
            records, rids, sources = emitted.setdefault(port, ([], [], []))
            records.append(made)
            rids.append(batch.rids[place])
            sources.append(place)
        return Outcomes(
            {port: Emitted(*columns) for port, columns in emitted.items()},
            {UNMATCHED: dropped} if dropped else {},
        )
