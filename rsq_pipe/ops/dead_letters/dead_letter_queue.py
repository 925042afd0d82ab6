"""DeadLetterQueue: one stage's dead letters, and where they can be replayed to."""

from __future__ import annotations

import re
from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import NeverRanError, UnknownStageError
from rsq_pipe.ops.dead_letters.closed_windows import ClosedWindows, closed_windows
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.suggestion import suggest

_COUNTED = re.compile(rb"([a-z][a-z0-9_-]*):dead")


class DeadLetterQueue(Struct, frozen=True):
    """
    Describe one queue at one moment.

    Args:
        pipeline: The pipeline's name.
        stage: The stage's name.
        key: The stream of its dead letters.
        newest: The id of its last dead letter; empty if there is none. Later ones are left out: otherwise a
            replay would chase records that fail again.
        target: The stream that a replay writes to: the stage's own, or a source's output.
        groups: The groups that must read the target.
        is_source: Whether the stage is a source: nothing can be put back into it, so edited records skip it.
        obstacle: Why nothing can be replayed; empty if it can.
        closed: The windows that take no more records; None if that does not matter to this stage.
    """

    pipeline: str
    stage: str
    key: str
    newest: str = ""
    target: str = ""
    groups: tuple[str, ...] = ()
    is_source: bool = False
    obstacle: str = ""
    closed: ClosedWindows | None = None

    @property
    def table(self) -> str:
        """The hash that counts replays and purges."""
        return Keyspace(self.pipeline).meta


async def find_queues(
    client: StreamClient, pipeline: str, graph: Graph | None, stages: Collection[str] = ()
) -> list[DeadLetterQueue]:
    """
    List the queues of a pipeline, including those of stages no longer in its spec.

    Args:
        client: The server.
        pipeline: Its name.
        graph: Its spec, if known.
        stages: The stages whose queues to list; empty for all.

    Raises:
        NeverRanError: The pipeline has never run on this server.
        UnknownStageError: It has no such stage, and had none when it ran.

    Redis: HKEYS, then XREVRANGE COUNT 1 and XINFO GROUPS per stage, HGET for one with windows.
    """
    meta = Keyspace(pipeline).meta
    fields: list[bytes] = await client.channel.execute("HKEYS", meta, key=meta)
    if not fields:
        raise NeverRanError(pipeline, client.channel.address)
    own = [stage.name for stage in graph.stages] if graph else []
    # Every dead letter is counted in the step that writes it, so the counters name every queue.
    counted = sorted(match[1].decode() for field in fields if (match := _COUNTED.fullmatch(field)))
    names = list(dict.fromkeys([*own, *counted]))
    for stage in stages:
        if stage not in names:
            what = f"pipeline {pipeline!r} has no stage {stage!r}; {suggest(stage, names)}"
            raise UnknownStageError(what, stage=stage)
    names = [name for name in names if not stages or name in stages]
    return [await _described(client, pipeline, graph, name) for name in names]


async def _described(client: StreamClient, pipeline: str, graph: Graph | None, name: str) -> DeadLetterQueue:
    key = f"{{{pipeline}}}:{name}:dlq"
    last = await client.channel.execute("XREVRANGE", key, "+", "-", "COUNT", 1, key=key)
    bare = DeadLetterQueue(pipeline, name, key, last[0][0].decode() if last else "")
    target, readers, is_source = _way_back(pipeline, graph, name)
    if not target:
        obstacle = "the pipeline's file has no such stage, so nobody would read them; export or purge them"
        return replace(bare, obstacle=obstacle)
    groups = {info.name for info in await client.group_info(target)}
    obstacle = ""
    if graph is None and not groups:
        obstacle = "whether this is a source cannot be told; name the pipeline by its file, not its name"
    elif not groups.issuperset(readers):
        missing = ", ".join(sorted(set(readers) - groups))
        obstacle = f"stream {target!r} is not read by {missing}; run the pipeline once, then replay"
    closed = await closed_windows(client, graph, name) if graph and last else None
    return replace(bare, target=target, groups=readers, is_source=is_source, obstacle=obstacle, closed=closed)


def _way_back(pipeline: str, graph: Graph | None, name: str) -> tuple[str, tuple[str, ...], bool]:
    """Find the stream that dead letters go back to, its readers, and whether that skips a source."""
    again_stream = f"{{{pipeline}}}:{name}:again"
    if graph is None:
        return again_stream, (name,), False
    stage = next((stage for stage in graph.stages if stage.name == name), None)
    if stage is None:
        return "", (), False
    if stage.verb != "source":
        return again_stream, (name,), False
    output = stage.outputs[""]
    return output.key(pipeline), tuple(reader.name for reader in graph.readers(output)), True
