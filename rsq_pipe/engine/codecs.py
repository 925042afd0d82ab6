"""Codecs: how a pipeline writes records, single and in packs."""

from __future__ import annotations

from rsq_pipe.model.pack import JsonPacks, MsgpackPacks, Packs
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer
from rsq_pipe.streams.unpacking import unfolded


def serializer(graph: Graph, *, strict: bool = False) -> Serializer:
    """Make the pipeline's serializer; a strict one refuses JSON objects that have a key twice."""
    return MsgpackSerializer() if graph.serializer == "msgpack" else JsonSerializer(strict=strict)


def packs(graph: Graph) -> Packs:
    """Make what writes and reads the pipeline's packs."""
    return MsgpackPacks() if graph.serializer == "msgpack" else JsonPacks()


class Unfolding:
    """
    Take a pipeline's packs apart.

    Args:
        graph: The pipeline.
    """

    def __init__(self, graph: Graph) -> None:
        self._packs = packs(graph)
        self._serializer = serializer(graph)
        self._own = f"{{{graph.pipeline}}}:"

    def singles(self, entry: RawEntry) -> list[RawEntry]:
        """Return the entries of one record each that an entry stands for; outsiders write no packs."""
        if not entry.stream.startswith(self._own):
            return [entry]
        return unfolded(entry, self._packs, self._serializer)
