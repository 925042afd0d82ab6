"""Provision: what must exist in Redis before a stage reads, and what `--fresh` deletes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence

import structlog

from rsq_pipe.engine.changes.last_run import GRAPH, describe
from rsq_pipe.engine.changes.last_run import marks as made
from rsq_pipe.engine.changes.ledger_names import ledger_field, ledger_names
from rsq_pipe.engine.keyspace import Keyspace, group_mark, groups
from rsq_pipe.engine.ownership.presence import SECONDS, Presence
from rsq_pipe.engine.state.record_counts import begin, records_pending
from rsq_pipe.engine.state.state import lost
from rsq_pipe.engine.state.state_keys import keys_like
from rsq_pipe.errors import SettleError, StreamFullError
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.lease import EPOCH
from rsq_pipe.streams.script import CLEAR, HAND_BACK, PROVISION
from rsq_pipe.streams.worker import is_gone

_IDLE_MS = 24 * 60 * 60 * 1000  # idle time set on the entries of dead consumers
_WARNED_OF = "strangers"  # the field that lists the groups already logged

log = structlog.get_logger("rsq_pipe")


async def lay(
    client: StreamClient, graph: Graph, presence: Presence | None = None, seen: bytes = b""
) -> bool:
    """
    Create every group of the pipeline before any source produces, and store its graph for the next run.

    A group created later would miss what has been trimmed by then. From here on, each group's backlog is
    counted in records.

    Args:
        client: The server.
        graph: The pipeline.
        presence: The run this is for; None skips the check for other runs.
        seen: The last run's graph as `last_graph` read it, before anything was decided from it.

    Returns:
        False, with nothing done, if the state of the pipeline may have changed since it was read: another
            run began since, or this one counts as ended because it was paused.

    Raises:
        GroupLostError: A group created by an earlier run no longer exists.
        SettleError: A key of the pipeline holds another type of value.

    Redis: XINFO GROUPS of each stream; provision.lua.
    """
    keys = Keyspace(graph.pipeline)
    places: list[tuple[str, str]] = []
    strangers: list[str] = []
    found: list[tuple[str, str]] = []
    for stream, names in groups(graph).items():
        places += [(stream, name) for name in names]
        there = {info.name for info in await client.group_info(stream)}
        if stream.startswith(f"{{{graph.pipeline}}}:"):
            strangers += [f"{name} of {stream}" for name in sorted(there - set(names))]
        else:
            found += [(stream, name) for name in names if name in there]
    shared = await _not_made(client, keys, found)
    starts = {
        (ref.name, stage.name): ref.form.start for stage in graph.stages for ref in stage.inputs if ref.form
    }
    streams = list(dict.fromkeys(stream for stream, _ in places))
    words: list[str | bytes | int] = [presence.name if presence else "", GRAPH, _sha(seen), len(places)]
    for stream, name in places:
        words += (streams.index(stream) + 3, name, group_mark(name, stream), f"left:{name}:{stream}")
        words.append(starts.get((stream, name), "0"))
    words += await _news(client, keys, graph)
    done, *lost_group = await client.channel.run(PROVISION, [keys.meta, keys.runs, *streams], words)
    if lost_group:
        raise lost(*places[lost_group[0] - 1])
    if done:
        await begin(client, graph)
        await _warn_of_unknown_groups(client, keys, graph, ", ".join(strangers))
        _warn_of_shared_groups(graph, shared)
    return bool(done)


async def last_graph(client: StreamClient, graph: Graph) -> bytes:
    """Read the graph of the last run as stored; empty if there was none."""
    meta = Keyspace(graph.pipeline).meta
    return await client.channel.execute("HGET", meta, GRAPH, key=meta) or b""


def _sha(text: bytes) -> str:
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


async def _news(client: StreamClient, keys: Keyspace, graph: Graph) -> list[bytes | str]:
    """List the fields that describe the graph, with their values; none if it is the one stored."""
    fields = {"spec": graph.spec_hash.encode(), GRAPH: describe(graph).dump()}
    found = await client.channel.execute("HMGET", keys.meta, *fields, key=keys.meta)
    return [] if list(fields.values()) == found else [word for pair in fields.items() for word in pair]


async def _warn_of_unknown_groups(client: StreamClient, keys: Keyspace, graph: Graph, strangers: str) -> None:
    """Warn once of groups that no stage reads through: what they have not read is kept forever."""
    warned = await client.channel.execute("HGET", keys.meta, _WARNED_OF, key=keys.meta)
    if strangers == (warned or b"").decode():
        return
    if strangers:
        log.warning(
            "groups that belong to no stage keep entries from being trimmed",
            pipeline=graph.pipeline,
            groups=strangers,
            mend=f"rsq-pipe plan {graph.spec} --prune",
        )
    with contextlib.suppress(StreamFullError):
        await client.channel.execute("HSET", keys.meta, _WARNED_OF, strangers, key=keys.meta)


async def _not_made(
    client: StreamClient, keys: Keyspace, found: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """
    Return which groups, of those found on streams from outside, this pipeline did not create.

    A group and its mark are created in one step: asked for after the group, a mark is not too new to be seen.
    """
    if not found:
        return []
    fields = [group_mark(name, stream) for stream, name in found]
    made = await client.channel.execute("HMGET", keys.meta, *fields, key=keys.meta)
    return [place for place, mark in zip(found, made, strict=True) if mark is None]


def _warn_of_shared_groups(graph: Graph, shared: Sequence[tuple[str, str]]) -> None:
    """Warn once of groups that others created: who else reads through one gets a part of its records."""
    for stream, name in shared:
        log.warning(
            "a consumer group of this name was there before: if another pipeline or program reads through "
            "it, each gets only a part of the records",
            pipeline=graph.pipeline,
            stream=stream,
            group=name,
            mend=f"give the stage {name!r} another name, if it is in use",
        )


async def clear(client: StreamClient, graph: Graph, presence: Presence) -> int:
    """
    Delete everything of the pipeline: streams, dead letters, positions, counters.

    Streams from outside are kept; the groups that the pipeline created on them are removed, so that it reads
    them again.
    Also kept are the epochs of its leases and the names of its sinks' ledgers, so that a writer paused in an
    earlier run stays fenced, and the audit list of what operators did.

    Returns:
        How many keys were deleted.

    Raises:
        PipelineBusyError: Someone else is running the pipeline; nothing was deleted.

    Redis: SCAN, then clear.lua.
    """
    await presence.refuse_others()
    keys = Keyspace(graph.pipeline)
    # Also those of stages that are no longer in the file, but none that this pipeline did not create: others
    # may read through it.
    for name, stream in made(await marked(client, keys)):
        if not stream.startswith(f"{{{graph.pipeline}}}:"):
            with contextlib.suppress(SettleError):  # the stream does not exist
                await client.channel.execute("XGROUP", "DESTROY", stream, name, key=stream)
    # A SCAN may miss keys created during it, so every key that a paused run could create is named as well.
    doomed = {*await keys_like(client, keys.pattern, keys.meta), *_keys_of(graph)}
    kept = {keys.meta, keys.runs, keys.audit}
    doomed = {key for key in doomed if key not in kept and not key.endswith(EPOCH)}
    gone = await presence.gone()
    fields = {replacing(stage): "1" for stage in graph.stages if stage.verb == "sink"}
    names = await ledger_names(client, graph.pipeline)
    fields |= {ledger_field(stage): name for stage, name in names.items()}
    deleted, *others = await client.channel.run(
        *(CLEAR, [keys.meta, keys.runs, *sorted(doomed)]),
        [presence.name, SECONDS, len(gone), *gone, *(word for pair in fields.items() for word in pair)],
    )
    if others:
        raise presence.busy([name.decode() for name in others])
    return int(deleted)


def _keys_of(graph: Graph) -> Iterator[str]:
    keys = Keyspace(graph.pipeline)
    for stage in graph.stages:
        yield from (keys.again_stream(stage), keys.retry(stage), keys.dlq(stage), keys.drops(stage))
        yield from (keys.unknown(stage), keys.journal(stage))
        yield from (keys.stream(ref) for ref in stage.outputs.values() if not ref.external)


def replacing(stage: Stage) -> str:
    """Name the field that lets a sink replace existing data once, whichever process opens it."""
    return f"replace:{stage.name}"


async def inherit(client: StreamClient, graph: Graph) -> dict[str, int]:
    """
    Free the entries of consumers whose process, on this machine, no longer exists.

    Entries of others have to be idle for `reclaim: idle` first; for these the death is known at once.

    Returns:
        For each stage, how many records the next reclaim will take over because of this call: not those that
        the process handed back before it ended, nor those that a process beside this one has freed.
    """
    freed: dict[str, int] = {}
    for stream, names in groups(graph).items():
        for name in names:
            for consumer in await client.consumer_info(stream, name):
                if is_gone(consumer.name):
                    records = await records_pending(
                        client, stream, name, consumer=consumer.name, idle_below_ms=_IDLE_MS
                    )
                    if records:
                        freed[name] = freed.get(name, 0) + records
                    await client.channel.run(HAND_BACK, [stream], [name, consumer.name, _IDLE_MS, 0])
    return freed


async def marked(client: StreamClient, keys: Keyspace) -> set[str]:
    """List the groups that earlier runs created."""
    fields = await client.channel.execute("HKEYS", keys.meta, key=keys.meta)
    return {field.decode() for field in fields}
