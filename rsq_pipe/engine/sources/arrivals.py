"""Arrivals: turns the chunks of a source into batches, and unreadable items into dead letters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from msgspec import Struct, field

from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.engine.encoding.codecs import serializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import EncodeError
from rsq_pipe.ids import record_id, shown
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.record_ids import picked, prefixed
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.entry import RawEntry, fields_of
from rsq_pipe.streams.headers import RID, is_reserved
from rsq_pipe.streams.settlement import Output

MAX_KINDS = 5
"""Kinds of error that get a log line each for one batch; the others share one line."""

_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+|\d+")
_OTHERS = "others"


class Arrived(Struct):
    """
    Hold what a source has read.

    Args:
        batch: The records.
        dead: Dead letters of unreadable items.
    """

    batch: Batch
    dead: list[Output] = field(default_factory=list)


class Arrivals:
    """
    Give records their ids as they enter the pipeline.

    Args:
        graph: The pipeline.
        stage: The source stage.
        name: The prefix of record ids.
        log: The log for dead letters.
        as_rows: Whether records may stay rows, because they are only written into packs.
    """

    def __init__(self, graph: Graph, stage: Stage, name: str, log: Any, *, as_rows: bool = False) -> None:
        self._stage = stage
        self._name = name
        self._as_rows = as_rows
        self._dlq = Keyspace(graph.pipeline).dlq(stage)
        self._form = serializer(graph)
        self._dead_letter_log = DeadLetterLog(log)

    def batch(self, chunk: Chunk) -> Arrived:
        """Build a batch of the valid records, and dead letters of everything else."""
        dead = [self._dead(arrival, arrival.error) for _, arrival in chunk.broken]
        offsets, raw = chunk.offsets, chunk.raw
        # If rows may stay, they are never used in a way that needs a list.
        records = cast("list[dict[str, Any]]", chunk.records) if self._as_rows else [*chunk.records]
        headers: dict[int, Mapping[str, str]] = {}
        if chunk.headers:
            kept: list[int] = []
            for place, came in self._with_headers(chunk, dead):
                if came:
                    headers[len(kept)] = dict(came)
                kept.append(place)
            records, offsets = [records[place] for place in kept], picked(offsets, kept)
            raw = lambda place: chunk.raw(kept[place])  # noqa: E731
        self._dead_letter_log.flush()
        came_in = records[:]
        return Arrived(
            Batch(
                records,
                prefixed(record_id(self._name, ""), offsets),
                headers=headers,
                original=lambda place: raw(place) or self._encoded(came_in[place]),
            ),
            dead,
        )

    def _with_headers(
        self, chunk: Chunk, dead: list[Output]
    ) -> Iterator[tuple[int, tuple[tuple[str, str], ...]]]:
        """Yield places of records with their headers; one with a reserved header is dead-lettered."""
        for place, record in enumerate(chunk.records):
            came = chunk.headers.get(place, ())
            refused = next((name for name, _ in came if is_reserved(name)), None)
            if refused is None:
                yield place, came
                continue
            error = EncodeError(f"it came with the header {refused!r}, which is rsq-pipe's own", record)
            arrival = Arrival(chunk.offsets[place], record, chunk.raw(place), headers=came)
            dead.append(self._dead(arrival, error))

    def _encoded(self, record: dict[str, Any]) -> bytes:
        try:
            return self._form.encode(record)
        except EncodeError:  # the reason for the dead letter
            return repr(record).encode()

    def _dead(self, arrival: Arrival, error: BaseException | str) -> Output:
        beside = {name: text for name, text in arrival.headers if not is_reserved(name)}
        headers = {RID: record_id(self._name, arrival.offset)} | beside
        raw = arrival.raw or repr(arrival.data).encode()
        fields = [item.encode() if isinstance(item, str) else item for item in fields_of(raw, headers)]
        self._dead_letter_log.add(headers[RID], str(error))
        return dead_letter(
            *(self._dlq, RawEntry(self._stage.name, arrival.offset, fields)),
            reason="decode_error",
            stage=self._stage.name,
            error=error,
            attempts=1,
            redact=redact,
        )


class DeadLetterLog:
    """
    Collect the dead letters of one batch, and log them.

    Args:
        log: Where to log them; bound to pipeline and stage.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._kinds: dict[str, list[Any]] = {}

    def add(self, rid: str, error: str) -> None:
        """Note one; errors that differ only in numbers and quoted text are of one kind."""
        kind = _VARYING.sub("#", error)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = _OTHERS
        self._kinds.setdefault(kind, [0, rid, error])[0] += 1

    def flush(self) -> None:
        """Log a line for each kind, with its first example, and forget them."""
        for count, rid, error in self._kinds.values():
            self._log.warning(
                "dead-lettered what cannot be read", records=count, first=shown(rid), error=error
            )
        self._kinds.clear()
