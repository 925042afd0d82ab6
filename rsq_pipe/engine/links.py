"""Links: builds the chain of one worker, with its verbs and the ports that write its records."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.engine.chain import Chain, Link
from rsq_pipe.engine.encoding.codecs import FormerSerializer, packs, serializer
from rsq_pipe.engine.fusion import joined, only_computes
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.packing import PACK_RECORDS, Port
from rsq_pipe.model.state import StateReader
from rsq_pipe.spec.branches import branches
from rsq_pipe.spec.fusing import runs_user_code
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.telemetry.observer import Observer, StageObserver
from rsq_pipe.verbs.build import build
from rsq_pipe.verbs.passing import Pass
from rsq_pipe.verbs.verb import Verb

if TYPE_CHECKING:
    from rsq_pipe.streams.client import StreamClient

_JSON_SOURCES = frozenset(("http", "jsonl", "csv"))
"""Sources that yield only values that JSON can express."""


def chain(
    graph: Graph,
    stage: Stage,
    names: Collection[str],
    observer: Observer,
    *,
    state: StateReader | None = None,
    verb: Verb | None = None,
    client: StreamClient | None = None,
    times: CallTimes | None = None,
) -> Chain:
    """
    Build the chain of one worker, with verbs of its own.

    Args:
        graph: The pipeline.
        stage: The stage that reads; a source passes on what it reads.
        names: The stages that run in this process.
        observer: Provides each stage's observer.
        state: Reads the state of its first stage, if that stage has state.
        verb: The verb for its first stage, if not the stage's own.
        client: The pipeline's server, for lookups on it.
        times: Records how long each call of a verb takes.

    Raises:
        HandlerNotFoundError, HandlerContractError: A handler cannot be used.
    """
    links = _Links(graph, names, observer, client, computes_only=only_computes(stage))
    first = links.verb(stage, state) if verb is None else verb
    return Chain(links.link(stage, first), serializer(graph), times)


class _Links(Struct, frozen=True):
    """Build the links of one chain from what they share."""

    graph: Graph
    names: Collection[str]
    observer: Observer
    client: StreamClient | None
    computes_only: bool

    def link(self, stage: Stage, verb: Verb) -> Link:
        """Build the link of a stage, and those of the stages below that join it."""
        graph = self.graph
        below = joined(graph, stage, self.names, computes_only=self.computes_only)
        made = {}
        for port, reader in below.items():
            link = self.link(reader, self.verb(reader))
            name = branches(graph, reader).get(stage.outputs[port], "")
            made[port] = Link(link.stage, link.verb, link.observer, link.ports, link.below, name)
        return Link(
            stage,
            verb,
            StageObserver() if stage.verb == "source" else self.observer.stage(stage),
            {port: _port(graph, stage, port) for port in stage.outputs if port not in below},
            made,
        )

    def verb(self, stage: Stage, state: StateReader | None = None) -> Verb:
        """Build the verb of a stage; a source's passes on what was read."""
        graph = self.graph
        if stage.verb == "source":
            return _entry(graph, stage)
        form = FormerSerializer(graph)  # of the records that wait in a stage's state
        return build(
            stage, root=graph.root, pipeline=graph.pipeline, form=form, state=state, client=self.client
        )


class _Entry(Pass):
    """Pass on what a source reads, which may be anything."""

    changed = None


def _entry(graph: Graph, stage: Stage) -> Verb:
    plain = graph.serializer == "json" and getattr(stage.options, "type", "") in _JSON_SOURCES
    return Pass() if plain else _Entry()


def _port(graph: Graph, stage: Stage, port: str) -> Port:
    ref = stage.outputs[port]
    key, form = Keyspace(graph.pipeline).stream(ref), serializer(graph, again=False)
    if ref.external:
        return Port(key, form, max_record=graph.max_record)
    sizes = [reader.batch_size for reader in graph.readers(ref) if runs_user_code(reader)]
    bursts = [reader.rate.burst for reader in graph.readers(ref) if reader.rate is not None]
    most = min([PACK_RECORDS, *sizes, *bursts])
    whole = {_writes_lines(reader) for reader in graph.readers(ref)} == {True}
    callers = [reader.name for reader in graph.readers(ref) if reader.verb == "call"]
    if most < PACK_RECORDS:  # somebody asks for that
        callers = []
    return Port(key, form, packs(graph), most, graph.max_record, whole=whole, callers=callers)


def _writes_lines(stage: Stage) -> bool:
    return stage.verb == "sink" and stage.options.type == "jsonl"
