"""Rename: gives a stage another name, together with everything it has on the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from rsq_pipe.engine.changes.last_run import GRAPH, TAKEN, LastRun, known, marks, positions
from rsq_pipe.engine.changes.ledger_names import after_rename, ledger_field, ledger_names
from rsq_pipe.engine.changes.past import Past, read_past
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.ownership.presence import Presence
from rsq_pipe.engine.state.hold import hold_field, resumed_field
from rsq_pipe.engine.state.state_keys import state_keys
from rsq_pipe.errors import UnknownStageError
from rsq_pipe.model.counters import ALL_COUNTED
from rsq_pipe.spec.graph import Graph
from rsq_pipe.streams import moving
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.suggestion import suggest

_OWN = ("retry", "again", "dlq", "drops", "unknown", "journal")


async def rename(client: StreamClient, graph: Graph, old: str, new: str) -> bool:
    """
    Move a stage to its new name: places, pending entries, retries, dead letters, state, positions, pause.

    Args:
        client: The server.
        graph: The pipeline file, which has the new name and not the old one.
        old, new: The names.

    Returns:
        False if the stage already has its new name.

    Raises:
        UnknownStageError: No run had a stage of the old name, or the names do not fit the file.
        PipelineBusyError: A process runs the pipeline.
        SettleError: A stage with the new name has left something; nothing was done.

    Delivery: all of it is under one name or all under the other.
    Cancellation: done or not; calling again is safe.
    Redis: rename.lua.
    """
    await Presence(client, graph.pipeline).refuse_others()
    past = await read_past(client, graph.pipeline)
    check_rename(graph, past, old, new)
    if old not in known(past.fields):
        return False
    prefix = f"{{{graph.pipeline}}}:"
    keys = dict(_keys(past, prefix, old, new))
    for key in await state_keys(client, graph.pipeline, old):
        keys[key] = f"{prefix}{new}{key.removeprefix(prefix + old)}"
    streams = [keys.get(stream, stream) for name, stream in marks(past.fields) if name == old]
    values: dict[str, str | bytes] = {}
    if past.kept:
        values[GRAPH] = _renamed(past.last, keys, old, new).dump()
    await moving.rename(
        *(client, Keyspace(graph.pipeline).meta, old, new),
        keys=list(keys.items()),
        streams=streams,
        fields=[*_fields(past, keys, old, new), *_hold(past, old, new)],
        values=values | await _ledgers(client, graph.pipeline, past, old, new),
    )
    return True


def check_rename(graph: Graph, past: Past, old: str, new: str) -> None:
    """
    Refuse names that fit neither the file nor the last run; a rename that is done already fits.

    Raises:
        UnknownStageError: They do not fit.
    """
    there = [stage.name for stage in graph.stages]
    if old in there:
        raise UnknownStageError(
            f"the file still has the stage {old!r}; "
            f"--rename {old}={new} is for a stage that it no longer has",
            stage=old,
        )
    if new not in there:
        raise UnknownStageError(
            f"pipeline {graph.pipeline!r} has no stage {new!r}; {suggest(new, there)}", stage=new
        )
    names = known(past.fields)
    if old not in names and new not in names:
        fix = suggest(old, names) or "it has not run there yet; leave --rename out"
        raise UnknownStageError(
            f"pipeline {graph.pipeline!r} never ran with a stage {old!r}; {fix}", stage=old
        )


def _keys(past: Past, prefix: str, old: str, new: str) -> Iterator[tuple[str, str]]:
    """Pair each key of a stage with its new name."""
    for own in _OWN:
        yield f"{prefix}{old}:{own}", f"{prefix}{new}:{own}"
    streams = {stream for _, stream in marks(past.fields)}
    if old in past.last.names:
        streams |= set(past.last.stage(old).writes.values())
    for stream in sorted({f"{prefix}{old}", *streams}):
        if stream == f"{prefix}{old}" or stream.startswith(f"{prefix}{old}."):
            yield stream, f"{prefix}{new}{stream.removeprefix(prefix + old)}"
    for field in ("source", *(name.split(":", 2)[2] for name in positions(past.fields, old))):
        for key in (f"lease:{field}", f"lease:{field}:epoch"):
            yield f"{prefix}{old}:{key}", f"{prefix}{new}:{key}"


def _fields(past: Past, keys: Mapping[str, str], old: str, new: str) -> Iterator[tuple[str, str]]:
    """Pair each field of the pipeline's hash that names the stage or its streams with its new name."""
    counters = {f"{old}:{what}" for what in ALL_COUNTED}
    for field in past.fields:
        kind, _, rest = field.partition(":")
        if kind in ("group", "left", "settled") and rest.count(":"):
            name, _, stream = rest.partition(":")
            moved = f"{kind}:{new if name == old else name}:{keys.get(stream, stream)}"
            if moved != field:
                yield field, moved
        elif kind == "appended" and rest in keys:
            yield field, f"appended:{keys[rest]}"
        elif kind == "position" and rest.startswith(f"{old}:"):
            yield field, f"position:{new}{rest.removeprefix(old)}"
        elif field == f"replace:{old}":
            yield field, f"replace:{new}"
        elif field in counters or (kind == old and old not in TAKEN):
            yield field, f"{new}:{rest}"


def _hold(past: Past, old: str, new: str) -> Iterator[tuple[str, str]]:
    """Pair the fields of a pause that is ended by hand: a renamed stage stays paused."""
    if hold_field(new) not in past.fields:  # it may have been paused by its new name before
        yield hold_field(old), hold_field(new)
    if resumed_field(new) not in past.fields:
        yield resumed_field(old), resumed_field(new)


async def _ledgers(
    client: StreamClient, pipeline: str, past: Past, old: str, new: str
) -> dict[str, str | bytes]:
    """Return the new names of sinks' ledgers, by the fields that hold them."""
    if old in past.last.names and past.last.stage(old).verb not in ("sink", ""):
        return {}
    names = after_rename(await ledger_names(client, pipeline), old, new)
    return {ledger_field(stage): name for stage, name in names.items()}


def _renamed(last: LastRun, keys: Mapping[str, str], old: str, new: str) -> LastRun:
    stages = (
        replace(
            stage,
            name=new if stage.name == old else stage.name,
            fused=new if stage.fused == old else stage.fused,
            reads=tuple(keys.get(key, key) for key in stage.reads),
            writes={port: keys.get(key, key) for port, key in stage.writes.items()},
        )
        for stage in last.stages
    )
    return replace(last, stages=tuple(stages))
