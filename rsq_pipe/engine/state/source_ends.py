"""SourceEnds: which sources of a pipeline have ended, no matter which run read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import StreamFullError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient

WHOLE = "1"
"""The value stored for a source that was read to its end."""

NOT_WHOLE = "0"
"""The value for one that ended early: part of it is unreadable, or the run limited its records."""


def end_field(source: str) -> str:
    """Name the field of the pipeline's hash that says that a source has ended."""
    return f"ended:{source}:source"


def end_fields(graph: Graph) -> list[str]:
    """Name the fields of all sources."""
    return [end_field(name) for name in sources(graph)]


def ended_sources(graph: Graph, table: Mapping[str, str]) -> dict[str, bool]:
    """Read from the fields of the hash which sources have ended, and whether they were read whole."""
    found = ((name, table.get(end_field(name))) for name in sources(graph))
    return {name: text == WHOLE for name, text in found if text is not None}


def awaited_sources(graph: Graph, table: Mapping[str, str]) -> tuple[str, ...]:
    """Read from the same fields which sources have not ended though others have; none if none has ended."""
    ended = ended_sources(graph, table)
    return tuple(name for name in sources(graph) if ended and name not in ended)


def sources(graph: Graph) -> list[str]:
    """Name the sources of a pipeline."""
    return [stage.name for stage in graph.stages if stage.verb == "source"]


def reads_outside(graph: Graph) -> bool:
    """Return whether a stage reads a stream that others write to, which has no end."""
    outputs = {ref for stage in graph.stages for ref in stage.outputs.values()}
    return any(ref.external and ref not in outputs for stage in graph.stages for ref in stage.inputs)


class SourceEnds:
    """
    Note that the sources of one run have ended, and name those of other runs that it waits for.

    Several runs may each read some of a pipeline's sources: input has ended when all sources have. A note
    is removed when its source is read again; the first run after all have ended removes all notes.

    Args:
        client, graph: The pipeline.
        names: The stages that run here.
    """

    def __init__(self, client: StreamClient, graph: Graph, names: Collection[str]) -> None:
        self._channel = client.channel
        self._meta = Keyspace(graph.pipeline).meta
        self._all = sources(graph)
        self._own = [name for name in self._all if name in names]
        self._stored = ""
        self._has_outside = reads_outside(graph)

    @property
    def may_end(self) -> bool:
        """Whether all records come from sources, some of which are read here: the run may see their end."""
        return not self._has_outside and bool(self._own)

    async def begin(self) -> None:
        """
        Remove the notes of sources that are read from now on.

        Redis: HMGET, HDEL.
        """
        self._stored = ""
        if not self._own:
            return
        fields = [end_field(name) for name in self._all]
        found = await self._channel.execute("HMGET", self._meta, *fields, key=self._meta)
        again = fields if None not in found else [end_field(name) for name in self._own]
        await self._channel.execute("HDEL", self._meta, *again, key=self._meta)

    async def store(self, *, whole: bool) -> None:
        """
        Note that the sources read here have ended, so that other runs need not wait for them.

        Redis: HSET, once; again if the server was full.
        """
        end = WHOLE if whole else NOT_WHOLE
        if self._stored == end:
            return
        pairs = [word for name in self._own for word in (end_field(name), end)]
        with suppress(StreamFullError):
            await self._channel.execute("HSET", self._meta, *pairs, key=self._meta)
            self._stored = end

    def awaited(self, ended: Collection[str]) -> list[str]:
        """Name the sources that other runs read, and that have not ended yet."""
        return [name for name in self._all if name not in self._own and name not in ended]

    def not_whole(self, ended: Mapping[str, bool]) -> bool:
        """Return whether another run did not read one of its sources to its end."""
        return any(not whole for name, whole in ended.items() if name not in self._own)
