"""Identity: gives the records a stage reads their ids, and leaves out headers that are not to be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rsq_pipe.ids import branch, record_id
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.headers import ATTEMPTS, REPLAY_LINK, RID, WHY, current
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.observer import headers_of

_OF_THIS_STAGE = frozenset((RID, ATTEMPTS, REPLAY_LINK))


class Identity:
    """
    Identify the records of one stage, where they are read: in every attempt and replay the same.

    Args:
        graph: The pipeline.
        stage: The stage that reads.
    """

    def __init__(self, graph: Graph, stage: Stage) -> None:
        keys = Keyspace(graph.pipeline)
        self._own = keys.pattern.removesuffix("*")
        self._again = keys.again(stage)
        self._branches = {keys.stream(ref): name for ref, name in branches(graph, stage).items()}

    def identified(self, messages: list[StreamMessage]) -> list[StreamMessage]:
        """Return the messages with their record id among their headers."""
        # Nearly every record of nearly every stage carries its id and nothing else.
        return [
            message
            if len(message.headers) == 1 and message.headers.get(RID) and message.stream not in self._branches
            else replace(message, headers=self._headers(message.headers, message.stream, message.id))
            for message in messages
        ]

    def letter(self, stream: str, entry_id: str, letter: Output) -> Output:
        """Return the dead letter of an entry that no handler sees, with the record's id among its headers."""
        came_with = {n: text for n, text in headers_of(letter.fields).items() if not n.startswith(WHY)}
        rid = self._headers(came_with, stream, entry_id)[RID]
        fields: list[str | bytes] = []
        for name, value in zip(letter.fields[::2], letter.fields[1::2], strict=True):
            if name not in {RID, RID.encode()}:
                fields += (name, value)
        return Output(letter.stream, [*fields, RID, rid])

    def _headers(self, headers: Mapping[str, str], stream: str, entry_id: str) -> Mapping[str, str]:
        if stream.startswith(self._own):
            headers = current(headers)
        rid = headers.get(RID) or record_id(stream, entry_id)
        if stream == self._again:
            # Retries and replays: written by this stage, with the id it gave the record when it first came.
            return {**headers, RID: rid}
        if stream in self._branches:
            rid = branch(rid, self._branches[stream])
        # Attempts belong to the stage that failed, and anybody may write them on a stream from outside.
        return {RID: rid} | {name: headers[name] for name in headers if name not in _OF_THIS_STAGE}
