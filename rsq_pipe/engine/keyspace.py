"""Keyspace: the Redis keys of one pipeline, all in one slot."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from rsq_pipe.model.counters import COUNTED
from rsq_pipe.spec.graph import Graph, Stage, StreamRef

_GLOB = re.compile(r"[*?\[\]\\^]")
_ESCAPED = r"\\\g<0>"


class Keyspace(Struct, frozen=True):
    """Name a pipeline's keys; its name in braces is the hash tag that puts them into one slot."""

    pipeline: str

    @property
    def meta(self) -> str:
        """The hash of what must survive: spec hash, positions, counters, groups created."""
        return f"{{{self.pipeline}}}:meta"

    @property
    def pattern(self) -> str:
        """The pattern by which SCAN finds every key of the pipeline, even of one named `*`."""
        return f"{{{_GLOB.sub(_ESCAPED, self.pipeline)}}}:*"

    def stream(self, ref: StreamRef) -> str:
        """A stream a stage reads or writes."""
        return ref.key(self.pipeline)

    def dlq(self, stage: Stage) -> str:
        """The stage's dead letters."""
        return stage.dlq.key(self.pipeline)

    def again_stream(self, stage: Stage) -> str:
        """The stage's own stream: retries that are due, and replays."""
        return stage.again_stream.key(self.pipeline)

    def retry(self, stage: Stage) -> str:
        """The sorted set of records that wait for their next attempt."""
        return f"{{{self.pipeline}}}:{stage.name}:retry"

    def drops(self, stage: Stage) -> str:
        """The hash that counts the stage's drops by reason."""
        return f"{{{self.pipeline}}}:{stage.name}:drops"

    def state(self, stage: Stage) -> str:
        """The hash of the stage's state; its buckets' keys begin with this key and a colon."""
        return f"{{{self.pipeline}}}:{stage.name}:state"

    def timers(self, stage: Stage) -> str:
        """The sorted set of the times at which parts of the state are due; it names every bucket."""
        return f"{{{self.pipeline}}}:{stage.name}:timers"

    def unknown(self, stage: Stage) -> str:
        """The hash that counts the keys that a lookup did not find."""
        return f"{{{self.pipeline}}}:{stage.name}:unknown"

    def journal(self, stage: Stage) -> str:
        """The stream with the outcomes of the stage's last records."""
        return f"{{{self.pipeline}}}:{stage.name}:journal"

    def rate(self, stage: Stage) -> str:
        """The token bucket of a stage with a `rate`; it exists while it is not full."""
        return f"{{{self.pipeline}}}:{stage.name}:rate"

    def lease(self, stage: Stage, target: str) -> str:
        """The lease of the one process that may read this source, or write this sink's target."""
        return f"{{{self.pipeline}}}:{stage.name}:lease:{target}"

    @property
    def runs(self) -> str:
        """The running processes, scored by their last sign of life, in Redis's time."""
        return f"{self.meta}:runs"

    @property
    def housekeeping(self) -> str:
        """The lease of the one process that does the housekeeping for all."""
        return f"{self.meta}:housekeeping"

    @property
    def rest(self) -> str:
        """A digest of what that process last saw, while the pipeline is idle; it expires unless renewed."""
        return f"{self.meta}:rest"

    @property
    def history(self) -> str:
        """The stream of what the stages did and held, one point a minute."""
        return f"{self.meta}:history"

    @property
    def calls(self) -> str:
        """The hash that counts the stages' calls by duration."""
        return f"{self.meta}:calls"

    @property
    def audit(self) -> str:
        """The stream of what operators did from the page."""
        return f"{self.meta}:audit"

    def inputs(self, stage: Stage) -> tuple[str, ...]:
        """Everything a stage reads; its own stream first, so that retries do not wait behind the rest."""
        if stage.verb == "source":
            return ()
        return (self.again_stream(stage), *(self.stream(ref) for ref in stage.inputs))


def groups(graph: Graph) -> dict[str, list[str]]:
    """List the groups of every stream the pipeline reads: stream key -> stage names."""
    keys = Keyspace(graph.pipeline)
    found: dict[str, list[str]] = {}
    for stage in graph.stages:
        for key in keys.inputs(stage):
            found.setdefault(key, []).append(stage.name)
    return found


def published(graph: Graph) -> list[str]:
    """List the streams that stages write under names of their own, for others to read."""
    keys = Keyspace(graph.pipeline)
    outputs = (ref for stage in graph.stages for ref in stage.outputs.values())
    return sorted({keys.stream(ref) for ref in outputs if ref.external})


def counter_fields(graph: Graph) -> list[str]:
    """Name the counters of a pipeline; those of drops and lookups by key are separate."""
    return [f"{stage.name}:{what}" for stage in graph.stages for what in COUNTED]


def drop_counters(stage: Stage, reasons: Mapping[str, str]) -> dict[str, int]:
    """Name the counters of a stage's drops by reason, in addition to those of `counter_fields`."""
    return {f"{stage.name}:dropped:{reason}": int(count) for reason, count in reasons.items()}


def lookups(graph: Graph) -> list[Stage]:
    """List the stages that look something up."""
    return [stage for stage in graph.stages if stage.verb == "lookup"]


def unknown_counters(stage: Stage, keys: Mapping[str, str]) -> dict[str, int]:
    """Name the counters of the keys that a stage's lookup did not find, in the same way."""
    return {f"{stage.name}:unknown:{key}": int(count) for key, count in keys.items()}


def group_mark(name: str, stream: str) -> str:
    """
    Name the field that marks a group as created: a marked group that does not exist was lost.

    It holds the id up to which the group had acknowledged everything when last noted; 1 at first.
    """
    return f"group:{name}:{stream}"


def group_marks(graph: Graph) -> list[str]:
    """Name the marks of all groups of a pipeline."""
    return [group_mark(name, stream) for stream, names in groups(graph).items() for name in names]
