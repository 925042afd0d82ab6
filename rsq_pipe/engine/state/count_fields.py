"""Count fields: counts of the records in streams of packs; the server counts only entries."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rsq_pipe.engine.keyspace import Keyspace, groups
from rsq_pipe.spec.graph import Graph


def appended(stream: str) -> str:
    """Name the field of the pipeline's hash that counts the records ever written to a stream."""
    return f"appended:{stream}"


def settled(group: str, stream: str) -> str:
    """Name the field that counts the records of a stream that a group has settled."""
    return f"settled:{group}:{stream}"


def retried(stage: str) -> str:
    """Name the field that counts the records that a stage has put off until their next attempt."""
    return f"{stage}:retried"


def packed(graph: Graph) -> dict[str, list[str]]:
    """List the groups of all streams of packs, those between stages: key -> stage names."""
    keys = Keyspace(graph.pipeline)
    written = {
        keys.stream(ref) for stage in graph.stages for ref in stage.outputs.values() if not ref.external
    }
    return {stream: names for stream, names in groups(graph).items() if stream in written}


def count_fields(graph: Graph) -> list[str]:
    """Name the counts of all streams of packs of a pipeline."""
    found = packed(graph)
    return [
        *map(appended, found),
        *(settled(name, stream) for stream, names in found.items() for name in names),
    ]


def count_fields_of(stage: str, streams: Collection[str], fields: Collection[str]) -> Iterator[str]:
    """Select, from a hash's fields, the counts of a removed stage and of the streams removed with it."""
    for field in fields:
        kind, _, rest = field.partition(":")
        if (kind == "settled" and rest.startswith(f"{stage}:{{")) or (kind == "appended" and rest in streams):
            yield field


def held(table: Mapping[str, str], group: str, stream: str) -> int | None:
    """
    Return how many records of a stream a group has not settled.

    Args:
        table: Fields of the pipeline's hash, including the two counts if they exist.

    Returns:
        None if they are not counted: the stream has no packs, or no run of this release has begun.
    """
    done = table.get(settled(group, stream))
    return None if done is None else int(table.get(appended(stream), 0)) - int(done)
