"""Arrivals: what a source brings, made into a batch and the dead letters of what cannot be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rsq_pipe.errors import EncodeError
from rsq_pipe.ids import record_id
from rsq_pipe.model.batch import Batch
from rsq_pipe.runtime.codecs import serializer
from rsq_pipe.runtime.dead_letter_log import DeadLetterLog
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.sources.source import Arrival
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.entry import RawEntry, fields_of
from rsq_pipe.streams.headers import RID, is_reserved
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.redaction import redact


@dataclass(slots=True)
class Arrived:
    """
    Hold what a source has brought.

    Args:
        batch: The records.
        dead: Dead letters of what cannot be read.
    """

    batch: Batch
    dead: list[Output] = field(default_factory=list)


class Arrivals:
    """
    Give records their ids where they enter.

    Args:
        graph: The pipeline.
        stage: The source stage.
        name: What record ids begin with.
        log: Where dead letters are told of.
    """

    def __init__(self, graph: Graph, stage: Stage, name: str, log: Any) -> None:
        self._stage = stage
        self._name = name
        self._dlq = Keyspace(graph.pipeline).dlq(stage)
        self._form = serializer(graph)
        self._told = DeadLetterLog(log)

    def batch(self, arrivals: Sequence[Arrival]) -> Arrived:
        """Make a batch of arrivals."""
        headers: dict[int, Mapping[str, str]] = {}
        kept: list[Arrival] = []
        arrived = Arrived(Batch([], []))
        records, rids = arrived.batch.records, arrived.batch.rids
        for arrival in arrivals:
            if arrival.data is None or arrival.headers:
                error = self._refusal(arrival)
                if error is not None:
                    arrived.dead.append(self._dead(arrival, error))
                    continue
                headers[len(records)] = dict(arrival.headers)
            records.append(arrival.data)
            rids.append(record_id(self._name, arrival.offset))
            kept.append(arrival)
        self._told.flush()
        arrived.batch.headers = headers
        arrived.batch.origins = [0] * len(records)
        arrived.batch.original = lambda place: self._bytes(kept[place])
        return arrived

    def _bytes(self, arrival: Arrival) -> bytes:
        try:
            return arrival.raw or self._form.encode(arrival.data)
        except EncodeError:  # that is why it is a dead letter
            return repr(arrival.data).encode()

    def _refusal(self, arrival: Arrival) -> BaseException | str | None:
        """Say why an arrival is no record, if it is none."""
        if arrival.data is None:
            return arrival.error
        for name, _ in arrival.headers:
            if is_reserved(name):
                return EncodeError(f"it came with the header {name!r}, which is rsq-pipe's own", arrival.data)
        return None

    def _dead(self, arrival: Arrival, error: BaseException | str) -> Output:
        beside = {name: text for name, text in arrival.headers if not is_reserved(name)}
        headers = {RID: record_id(self._name, arrival.offset)} | beside
        raw = arrival.raw or repr(arrival.data).encode()
        fields = [item.encode() if isinstance(item, str) else item for item in fields_of(raw, headers)]
        self._told.add(headers[RID], str(error))
        return dead_letter(
            *(self._dlq, RawEntry(self._stage.name, arrival.offset, fields)),
            reason="decode_error",
            stage=self._stage.name,
            error=error,
            attempts=1,
            redact=redact,
        )
