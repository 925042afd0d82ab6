"""Journal: what became of each of the last records of a stage, written by their settlement."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import MAX_REASON, Journal, Note, Part, Settlement


class StageJournal:
    """
    Write a stage's journal, if its pipeline keeps one.

    Args:
        graph: The pipeline; `telemetry: {journal: N}` says how many records are kept.
        stage: The stage.
    """

    def __init__(self, graph: Graph, stage: Stage) -> None:
        size = graph.telemetry.journal
        self._journal = Journal(Keyspace(graph.pipeline).journal(stage), size) if size else None

    def note(self, settlement: Settlement, messages: Sequence[StreamMessage]) -> None:
        """Have a settlement note each of its records, in the step that settles it."""
        if self._journal is None:
            return
        settlement.journal = self._journal
        known = {(message.stream, message.id): message for message in messages}
        for part in settlement.parts:
            outcome = outcome_of(part)
            part.notes = [
                _note(known[entry.stream, entry.id], outcome, part.reason) for entry in part.entries
            ]


def outcome_of(part: Part) -> str:
    """Name in a word what became of a part's entries."""
    if part.retries:
        return "retried"
    if part.dead:
        return "dead-lettered"
    return "emitted" if part.outputs or part.delivered else "dropped"


def _note(message: StreamMessage, outcome: str, reason: str) -> Note:
    note: list[str | bytes] = [RID, message.rid, "outcome", outcome, "attempt", str(message.attempts + 1)]
    if reason:
        note += ["reason", writable(reason)[:MAX_REASON]]
    return note
