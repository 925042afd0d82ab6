"""Build: creates the verb of a stage, and the verb for records that leave its state."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import HandlerContractError, HandlerNotFoundError
from rsq_pipe.handlers.handler import resolve
from rsq_pipe.model.state import StateReader
from rsq_pipe.spec.fusing import sends
from rsq_pipe.spec.graph import Stage, VerbName
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.spec.stages.lookup import HttpRef, Lookup, PostgresRef, RedisRef
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.verbs.aggregate import Aggregate
from rsq_pipe.verbs.batch_call import BatchCall
from rsq_pipe.verbs.call import Call
from rsq_pipe.verbs.dedupe import Dedupe
from rsq_pipe.verbs.explode import Explode
from rsq_pipe.verbs.filter import Filter
from rsq_pipe.verbs.join import Join
from rsq_pipe.verbs.lookup import FileLookup
from rsq_pipe.verbs.map import Map
from rsq_pipe.verbs.passing import Pass
from rsq_pipe.verbs.python_sink import python_sink
from rsq_pipe.verbs.route import Route
from rsq_pipe.verbs.sample import Sample
from rsq_pipe.verbs.select import Select
from rsq_pipe.verbs.server_lookup import ServerLookup
from rsq_pipe.verbs.sql import Sql
from rsq_pipe.verbs.stage_handler import StageHandler
from rsq_pipe.verbs.validate import checking
from rsq_pipe.verbs.verb import Verb
from rsq_pipe.verbs.windows.pairing import Shape
from rsq_pipe.verbs.windows.results import Results
from rsq_pipe.verbs.windows.unmatched import Unmatched

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient

_OF_OPTIONS: dict[VerbName, Callable[[str, Any], Verb]] = {
    "map": Map,
    "filter": Filter,
    "route": Route,
    "select": Select,
    "explode": Explode,
    "sample": Sample,
}
"""Verbs that need only the stage's name, for messages, and its options."""

_OF_STAGE: dict[VerbName, Callable[[Stage, Path], Verb]] = {"validate": checking, "sql": Sql}
"""Verbs that need the project root, to find files and classes."""

_OF_STATE: dict[VerbName, Callable[[str, Any, StateReader], Verb]] = {"dedupe": Dedupe}
"""Verbs with state, which also need a reader for it."""


def build(  # noqa: PLR0911  one for each kind
    stage: Stage,
    *,
    root: Path,
    pipeline: str,
    form: Serializer | None = None,
    state: StateReader | None = None,
    client: StreamClient | None = None,
) -> Verb:
    """
    Build a verb for one worker of a stage; every worker gets its own.

    Args:
        stage: A stage that is neither a source nor a sink.
        root: The project root, from which handlers are imported.
        pipeline: The pipeline's name.
        form: The serializer for records: for the bytes that `Batch.original` returns, from which a batch
            handler gets a record again after a failed call, and for records that wait in a stage's state.
        state: Reads the state of a stage with state.
        client: The pipeline's server, for lookups on it; None if there is none.

    Raises:
        HandlerNotFoundError: The named function does not exist, or its module cannot be imported.
        HandlerContractError: It cannot be a handler.
    """
    match stage.verb:
        case "call":
            return _call(stage, root, pipeline, form)
        case "validate" | "sql":
            return _OF_STAGE[stage.verb](stage, root)
        case "lookup":
            return looking_up(stage, root, client)
        case "pass":
            return Pass()
        case "sink" if sends(stage):
            return _sender(stage, root, pipeline, form)
        case "source" | "sink":
            raise ValueError(f"stage {stage.name!r} is a {stage.verb}; that is a connector and has no verb")
        case "join":
            assert state is not None
            assert form is not None
            streams = {ref.key(pipeline): side for side, ref in enumerate(stage.inputs)}
            return Join(stage.name, stage.options, state, streams=streams, ports=stage.outputs, form=form)
        case "aggregate":
            assert state is not None
            return Aggregate(stage, pipeline, state)
        case name if name in _OF_STATE:
            assert state is not None
            return _OF_STATE[name](stage.name, stage.options, state)
        case _:
            return _OF_OPTIONS[stage.verb](stage.name, stage.options)


def _sender(stage: Stage, root: Path, pipeline: str, form: Serializer | None) -> Verb:
    if stage.options.type == "python":
        return python_sink(stage, root=root, pipeline=pipeline, form=form)
    sender = connector("sink", stage.options.type).sender
    assert sender is not None
    more = {"root": root} if "root" in signature(sender).parameters else {}
    verb: Verb = sender(stage.options.options, stage=stage.name, timeout=stage.timeout, **more)
    return verb


def _call(stage: Stage, root: Path, pipeline: str, form: Serializer | None) -> Verb:
    try:
        home = stage.options.root or root
        handler = resolve(stage.options.module, stage.options.function, home)
    except HandlerContractError as exc:
        raise HandlerContractError(f"stage {stage.name!r} calls {exc}", stage=stage.name) from exc
    except HandlerNotFoundError as exc:
        raise exc.in_stage(stage.name, "call its handler") from exc
    at = StageHandler(stage, handler, root=root, pipeline=pipeline)
    return BatchCall(at, form.decode if form else None) if handler.batch else Call(at)


def looking_up(stage: Stage, root: Path, client: StreamClient | None) -> Verb:
    """
    Build the verb of a `lookup` stage; nothing is opened yet.

    Args:
        stage: The stage.
        root: The project root.
        client: The pipeline's server.
    """
    lookup: Lookup = stage.options
    table = lookup.table
    # Each client is imported where it is used: importing takes time, and it may not be installed.
    if isinstance(table, RedisRef):
        from rsq_pipe.verbs.tables.redis_table import RedisTable  # noqa: PLC0415

        return ServerLookup(stage, RedisTable(table, client))
    if isinstance(table, PostgresRef):
        from rsq_pipe.verbs.tables.postgres_table import PostgresTable  # noqa: PLC0415

        return ServerLookup(stage, PostgresTable(table, lookup.by, tuple(lookup.fields)))
    if isinstance(table, HttpRef):
        from rsq_pipe.verbs.tables.http_table import HttpTable  # noqa: PLC0415

        return ServerLookup(stage, HttpTable(table))
    return FileLookup(stage.name, stage.options, root)


def leaving(stage: Stage, form: Serializer, *, any_size: bool) -> Results | Unmatched:
    """
    Create the verb for records that leave a stage's state: results of groups, or records without a match.

    Args:
        stage: A stage whose `closes` is true.
        form: The serializer of waiting records.
        any_size: Whether the pipeline's format has integers of more than 64 bits, as JSON does.
    """
    if isinstance(stage.options, Joining):
        return Unmatched(Shape(stage.name, stage.options, stage.outputs), form)
    return Results(stage.name, stage.options, any_size=any_size)
