"""Unread: dead letters for entries that no handler sees, and entries that are written anew to be read."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence

import structlog

from rsq_pipe.engine.former_entries import FormerEntries
from rsq_pipe.engine.intake import deliveries
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import Unpacked, Unpacker
from rsq_pipe.engine.plan import Work
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import DecodeError
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.entry import RawEntry, fields_of
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import StageObserver

QUIET = 10.0
"""Seconds between two log lines of one stage worker: a million such entries may arrive."""


class Unread:
    """
    Dead-letter entries that are unreadable, or killed their worker each time; split redelivered packs.

    What another `serializer` wrote before the file was changed is written again by the present one.

    Args:
        graph: The pipeline.
        stage: The stage.
        observer: Notified of such entries; provides each with a trace.
        fused: The stages that run in its worker.
        as_rows: As in `Unpacker`.
    """

    def __init__(
        self,
        graph: Graph,
        stage: Stage,
        observer: StageObserver,
        fused: Iterable[Stage] = (),
        *,
        as_rows: bool = False,
    ) -> None:
        keys = Keyspace(graph.pipeline)
        self._stage = stage
        self._dlq, self._again_stream = keys.dlq(stage), keys.again_stream(stage)
        self._most = deliveries(stage, fused)
        self.unpacker = Unpacker(graph, stage, self._most, as_rows=as_rows)
        """Unpacks what the stage reads."""
        self._former = FormerEntries(graph, stage, self._most)
        self._observer = observer
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=graph.pipeline, stage=stage.name)
        self._logged_at = -QUIET
        self._count = 0
        self._example: dict[str, str] = {}

    def outputs(
        self, unpacked: Unpacked, entries: Sequence[RawEntry]
    ) -> tuple[dict[int, Output], dict[int, list[Output]]]:
        """
        Return what becomes of entries that were not processed.

        Returns:
            Place -> dead letter, and place -> the single entries of a redelivered pack: one of its records
                may have killed its worker, and alone, each record shows whether it was the one. Likewise
                those of an entry in the form of the other serializer.
        """
        dead_letters, singles = {}, {}
        for place, why in unpacked.unread.items():
            entry = entries[place]
            found = self._former.singles(entry) if isinstance(why, DecodeError) else None
            if found is None:
                dead_letters[place] = self._dead_letter(entry, why)
            else:
                singles[place] = self._again(found)
        for place in unpacked.returned:
            singles[place] = self._again(self.unpacker.singles(entries[place]))
        return dead_letters, singles

    def settled(self, work: Work, lost: Collection[int]) -> None:
        """Notify the observer of what was settled."""
        at = work.unpacked.batch.deliveries
        self._observer.dead_letters_settled(
            {(at[place].stream, at[place].id) for place in lost if place < len(at)}
        )

    def flush(self) -> None:
        """Log what has not been logged yet."""
        if self._count:
            self._log.warning("dead-lettered entries no handler saw", records=self._count, **self._example)
            self._logged_at, self._count = time.monotonic(), 0

    def _dead_letter(self, entry: RawEntry, why: Exception | str) -> Output:
        exhausted = isinstance(why, str)
        reason = "max_deliveries" if exhausted else "decode_error"
        attempts = min(entry.deliveries, self._most)
        letter = dead_letter(
            *(self._dlq, self.unpacker.kept(entry)),
            reason=reason,
            stage=self._stage.name,
            error=why,
            attempts=attempts,
            redact=redact,
        )
        letter = _with_rid(letter, self.unpacker.rid_of(entry))
        if not self._count:
            self._example = {
                "reason": reason,
                "first_error": redact(full_text(why)),
                "entry": f"{entry.stream}/{entry.id}",
            }
        self._count += 1
        if time.monotonic() - self._logged_at >= QUIET:
            self.flush()
        return self._observer.dead_letter(entry.stream, entry.id, entry.deliveries, letter)

    def _again(self, singles: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[Output]:
        return [Output(self._again_stream, fields_of(raw, headers)) for raw, headers in singles]


def _with_rid(letter: Output, rid: str) -> Output:
    fields: list[str | bytes] = []
    for name, value in zip(letter.fields[::2], letter.fields[1::2], strict=True):
        if name not in {RID, RID.encode()}:
            fields += (name, value)
    return Output(letter.stream, [*fields, RID, rid])
