"""FormerEntries: rewrites what waits in the form of before, where the pipeline's `serializer` was changed."""

from __future__ import annotations

from rsq_pipe.engine.encoding.codecs import before, packs, serializer
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import Unpacker
from rsq_pipe.errors import DecodeError, EncodeError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.entry import DATA, PACK, RawEntry
from rsq_pipe.streams.serializers import Serializer


class FormerEntries:
    """
    Rewrite the entries of the pipeline's own streams that the other serializer wrote.

    Args:
        graph: The pipeline.
        stage: The stage that reads them.
        most: How often an entry may be delivered.
    """

    def __init__(self, graph: Graph, stage: Stage, most: int) -> None:
        keys, former = Keyspace(graph.pipeline), before(graph)
        self._own = keys.pattern.removesuffix("*")
        self._again_stream = keys.again_stream(stage)
        self._unpacker, self._packs = Unpacker(former, stage, most), packs(former)
        self._reads: Serializer = serializer(former)
        self._writes: Serializer = serializer(graph)

    def singles(self, entry: RawEntry) -> list[tuple[bytes, dict[str, str]]] | None:
        """
        Return the records of an entry that cannot be read, each with its headers for the `again` stream.

        Returns:
            None if the entry is from outside, or no record in the other form either.
        """
        if not entry.stream.startswith(self._own):
            return None
        try:
            if entry.stream == self._again_stream and not entry.is_pack:
                return [(self._rewritten(entry.data), dict(entry.headers))]
            found = self._unpacker.singles(entry if entry.is_pack else self._as_pack(entry))
            return [(self._rewritten(raw), headers) for raw, headers in found]
        except (DecodeError, EncodeError):
            return None

    def _as_pack(self, entry: RawEntry) -> RawEntry:
        """Make it a pack of one: then its id and headers are treated as those of all records of packs."""
        record, rid = self._reads.decode(entry.data), self._unpacker.rid_of(entry)
        raw = self._packs.encode([record], [rid], {0: entry.headers})
        return entry._replace(fields=[PACK, b"1", DATA, raw])

    def _rewritten(self, raw: bytes) -> bytes:
        return self._writes.encode(self._reads.decode(raw))
