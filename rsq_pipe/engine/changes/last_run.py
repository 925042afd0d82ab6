"""LastRun: the graph a pipeline last ran with, as kept in Redis, or as reconstructed without it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from rsq_pipe.engine.fusion import fused
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.errors import NewerFormError
from rsq_pipe.model.counters import ALL_COUNTED
from rsq_pipe.spec.graph import ConnectorRef, Graph, RateLimit, Stage
from rsq_pipe.spec.stages.aggregate import Windows
from rsq_pipe.version import __version__

GRAPH = "graph"
"""The field of the pipeline's hash that holds the graph."""

FORM = 1
"""
The form of all that a pipeline has on its server: keys, entries, scripts' arguments, state, positions.

Raise it if a release that knows only the form before would misread or harm what this one writes: that one
then refuses to run the pipeline (docs/adr/0039-one-number-for-the-form-of-what-is-stored.md).
"""

TAKEN = (
    *("group", "position", "left", "replace", "settled", "appended", "ledger", "discarded"),
    *("paused", "ended"),
)
"""Fields of that hash that begin like this belong to no stage of that name, except its counters."""

_COUNTER = re.compile(r"([a-z][a-z0-9_-]*):(?:in|out|dropped|retried|dead)")


class LastStage(Struct, frozen=True):
    """
    Describe one stage as it ran.

    Args:
        name: Its name.
        verb: What it did; empty if unknown.
        reads: The keys of its inputs, without its own `again` stream.
        writes: Port -> key, without its dead letters.
        target: Connector and paths of a source or sink; empty for all others.
        digests: Setting -> a digest that shows whether it changed.
        fused: The stage above in whose worker it ran; empty if it had its own worker.
        rate: Its limit of records per time; None if unlimited.
        max_keys: How many keys its state could hold; 0 for a stage without state.
        windows: The windows of an `aggregate`, if it has any.
    """

    name: str
    verb: str = ""
    reads: tuple[str, ...] = ()
    writes: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    fused: str = ""
    rate: RateLimit | None = None
    max_keys: int = 0
    windows: Windows | None = None


class LastRun(Struct, frozen=True):
    """
    Describe a pipeline as it ran.

    Args:
        stages: In its order.
        text: Its file's text; empty if unknown.
        file: The file's name, without its folder.
        description: The file's own description.
        serializer: How it encoded records; empty if unknown.
        reclaim_idle: Seconds without a sign of life after which a consumer counted as dead.
        max_backlog: Records that a stream could hold before its writers paused.
        ui: Where its traces can be viewed; empty if unknown.
        form: The form of what it stored.
    """

    stages: tuple[LastStage, ...] = ()
    text: str = ""
    file: str = ""
    description: str = ""
    serializer: str = ""
    reclaim_idle: float = 5.0
    max_backlog: int = 10_000
    ui: str = ""
    form: int = FORM

    @property
    def names(self) -> tuple[str, ...]:
        """Name its stages."""
        return tuple(stage.name for stage in self.stages)

    def stage(self, name: str) -> LastStage:
        """Find a stage by name; KeyError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def dump(self) -> bytes:
        """Encode it in the stored form."""
        return msgspec.json.encode(self)


class _Formed(Struct, frozen=True):
    """The part of a stored graph that every release can read, whatever else has changed in it."""

    form: int = FORM


_decoder: msgspec.json.Decoder[LastRun] = msgspec.json.Decoder(LastRun)
_form_decoder: msgspec.json.Decoder[_Formed] = msgspec.json.Decoder(_Formed)


def describe(graph: Graph) -> LastRun:
    """Describe a graph in the form that is stored once it has run."""
    keys, above = Keyspace(graph.pipeline), fused(graph)
    stages = (
        LastStage(
            stage.name,
            stage.verb,
            tuple(keys.stream(ref) for ref in stage.inputs),
            {port: keys.stream(ref) for port, ref in stage.outputs.items()},
            _target(stage),
            stage.digests,
            fused=above.get(stage.name, ""),
            rate=stage.rate,
            max_keys=getattr(stage.options, "max_keys", 0),
            windows=windows
            if isinstance(windows := getattr(stage.options, "windows", None), Windows)
            else None,
        )
        for stage in graph.stages
    )
    return LastRun(
        tuple(stages),
        graph.text,
        file=graph.path.name,
        description=graph.description,
        serializer=graph.serializer,
        reclaim_idle=graph.reclaim_idle,
        max_backlog=graph.max_backlog,
        ui=graph.telemetry.ui,
    )


def parse(pipeline: str, raw: str | None) -> LastRun | None:
    """
    Read what `dump` wrote; None if there is nothing, or it cannot be read.

    Raises:
        NewerFormError: A newer release ran the pipeline, and this one would misread what that stored.
    """
    if raw is None:
        return None
    try:
        form = _form_decoder.decode(raw).form
        if form <= FORM:
            return _decoder.decode(raw)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    raise NewerFormError(
        f"pipeline {pipeline!r} was run by a newer rsq-pipe: what it left on the server has form {form}, and "
        f"rsq-pipe {__version__} knows form {FORM}. Nothing was changed; use the newer release, or "
        "`rsq-pipe run --fresh` to start over",
        form=form,
    )


def recall(pipeline: str, fields: Collection[str]) -> LastRun:
    """
    Work out from the fields of a pipeline's hash which stages it had, if no graph is stored.

    Marks name what each stage read; stages with counters but no mark read nothing, so they are sources.
    """
    reads: dict[str, list[str]] = {}
    for name in _counted(fields):
        reads.setdefault(name, [])
    for name, stream in marks(fields):
        inputs = reads.setdefault(name, [])
        if stream != f"{{{pipeline}}}:{name}:again":
            inputs.append(stream)
    streams = sorted({stream for inputs in reads.values() for stream in inputs})
    stages = (
        LastStage(
            name,
            "" if reads[name] else "source",
            tuple(reads[name]),
            {
                port: stream
                for stream in streams
                if (port := _port(stream, f"{{{pipeline}}}:{name}")) is not None
            },
        )
        for name in sorted(reads)
    )
    return LastRun(tuple(stages))


def marks(fields: Collection[str]) -> list[tuple[str, str]]:
    """List the groups that runs created, as (stage, stream)."""
    found = (field.split(":", 2) for field in fields if field.startswith("group:"))
    return sorted((parts[1], parts[2]) for parts in found if len(parts) == 3)


def known(fields: Collection[str]) -> list[str]:
    """Name every stage that left a counter or a mark."""
    return sorted({*_counted(fields), *(name for name, _ in marks(fields))})


def is_of(stage: str, field: str) -> bool:
    """Return whether a field belongs to a stage: mostly its counters."""
    kind, _, rest = field.partition(":")
    return kind == stage and (stage not in TAKEN or rest in ALL_COUNTED)


def positions(fields: Collection[str], name: str) -> list[str]:
    """Name the fields that hold a source's or sink's positions."""
    return sorted(field for field in fields if field.startswith(f"position:{name}:"))


def _port(stream: str, output: str) -> str | None:
    """Return which port of a stage a stream belongs to; None if it is not one of that stage's."""
    if stream == output:
        return ""
    return stream.removeprefix(f"{output}.") if stream.startswith(f"{output}.") else None


def _counted(fields: Collection[str]) -> list[str]:
    return [match[1] for field in fields if (match := _COUNTER.fullmatch(field))]


def _target(stage: Stage) -> str:
    ref: Any = stage.options
    if not isinstance(ref, ConnectorRef):
        return ""
    paths = getattr(ref.options, "path", ())
    return " ".join([ref.type, *([paths] if isinstance(paths, str) else sorted(paths))])
