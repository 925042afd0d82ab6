"""Codecs: how a pipeline encodes records, single and in packs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.model.pack import JsonPacks, MsgpackPacks, Packs
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.entry import DATA, RawEntry
from rsq_pipe.streams.headers import RID
from rsq_pipe.streams.serializers import JsonSerializer, MsgpackSerializer, Serializer

_RID = RID.encode()


def serializer(graph: Graph, *, strict: bool = False, again: bool = True) -> Serializer:
    """
    Make the pipeline's serializer.

    Args:
        graph: The pipeline.
        strict: Whether it refuses JSON objects with a duplicate key.
        again: Whether it encodes only what has been written before, and must not fail now.
    """
    return (
        MsgpackSerializer() if graph.serializer == "msgpack" else JsonSerializer(strict=strict, again=again)
    )


def packs(graph: Graph) -> Packs:
    """Make the codec for the pipeline's packs."""
    return MsgpackPacks() if graph.serializer == "msgpack" else JsonPacks()


def before(graph: Graph) -> Graph:
    """Return the pipeline with the other serializer, which may have written what waits."""
    return replace(graph, serializer="json" if graph.serializer == "msgpack" else "msgpack")


class FormerSerializer:
    """
    Write records as the pipeline does, and read those of either serializer.

    Args:
        graph: The pipeline.
    """

    def __init__(self, graph: Graph) -> None:
        self._own, self._other = serializer(graph, again=False), serializer(before(graph))

    def encode(self, data: Any) -> bytes:
        """Encode a record; EncodeError if that is impossible."""
        return self._own.encode(data)

    def decode(self, raw: bytes) -> Any:
        """Decode bytes; DecodeError if they are not a record in either form."""
        try:
            return self._own.decode(raw)
        except DecodeError as exc:
            try:
                return self._other.decode(raw)
            except DecodeError:
                raise exc from None


class Unfolding:
    """
    Split a pipeline's packs, whichever serializer wrote them.

    Args:
        graph: The pipeline.
    """

    def __init__(self, graph: Graph) -> None:
        self._forms = [(packs(one), serializer(one)) for one in (graph, before(graph))]
        self._own = f"{{{graph.pipeline}}}:"

    def singles(self, entry: RawEntry) -> list[RawEntry]:
        """Split an entry into entries of one record each; outsiders write no packs."""
        if not entry.stream.startswith(self._own):
            return [entry]
        tried = (unfolded(entry, *form) for form in self._forms)
        return next((found for found in tried if not (found and found[0].is_pack)), [entry])


def unfolded(entry: RawEntry, packs: Packs, serializer: Serializer) -> list[RawEntry]:
    """
    Split a pack into entries of one record each, in the form of retries and dead letters.

    They have the stream, the id and the delivery count of the pack. An entry that is not a pack is returned
    as it is; so is one that claims to be a pack but cannot be read as one.

    Args:
        entry: Any entry of the pipeline's own streams.
        packs: The codec for the pipeline's packs.
        serializer: The serializer for single records.
    """
    if not entry.is_pack:
        return [entry]
    try:
        return list(_singles(entry, packs, serializer))
    except (
        DecodeError,
        EncodeError,
        AttributeError,
    ):  # AttributeError: written by something else, with ids that are not text
        return [entry]


def _singles(entry: RawEntry, packs: Packs, serializer: Serializer) -> Iterator[RawEntry]:
    packed = packs.decode(entry.data)
    for place, (record, rid) in enumerate(zip(packed.records, packed.rids, strict=True)):
        fields = [DATA, serializer.encode(record), _RID, rid.encode()]
        for name, value in packed.headers.get(place, {}).items():
            fields += (name.encode(), value.encode())
        yield entry._replace(fields=fields)
