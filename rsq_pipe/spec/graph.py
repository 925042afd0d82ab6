"""The graph: a pipeline's stages and streams, resolved; what the runner runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from rsq_pipe.connectors.stream.form import StreamForm
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.problem import Problem
from rsq_pipe.spec.sampling import Sampling

if TYPE_CHECKING:
    from rsq_pipe.spec.known_fields import Known

VerbName = Literal[
    "source",
    "call",
    "map",
    "filter",
    "route",
    "select",
    "explode",
    "sample",
    "validate",
    "lookup",
    "dedupe",
    "join",
    "aggregate",
    "sql",
    "sink",
    "pass",
]
OnError = Literal["dlq", "drop", "stop"]


@dataclass(frozen=True, slots=True)
class StreamRef:
    """
    Name a stream that a stage reads or writes.

    Args:
        name: `validate`, `route.large` or `validate:dlq` in the pipeline's own keys; else the whole key.
        external: Whether `name` is the whole key of a stream outside the pipeline.
        form: For a stream that is read, the format of its entries; None for the pipeline's own.
    """

    name: str
    external: bool = False
    form: StreamForm | None = field(default=None, compare=False)

    def key(self, pipeline: str) -> str:
        """Build the Redis key; all keys of one pipeline share a hash tag, and so one slot."""
        return self.name if self.external else f"{{{pipeline}}}:{self.name}"


class RetryPolicy(msgspec.Struct, frozen=True):
    """Define how often and when a failed record is handled again; durations in seconds."""

    attempts: int
    first: float
    max: float
    jitter: float
    deliveries: int


class BreakerPolicy(msgspec.Struct, frozen=True):
    """Define when a stage pauses because its calls keep failing, and for how long; pauses in seconds."""

    failures: int = 20
    first: float = 0.1
    max: float = 60.0


class DeadLetterLimit(msgspec.Struct, frozen=True):
    """
    Define how many of a stage's last records may become dead letters, and what it does when more do.

    Args:
        text: The share as written: `5%`.
        share: The same as a number, up to 1.
        over: Number of the last records that are counted.
    """

    text: str
    share: float
    over: int
    then: Literal["pause", "stop"]


class RateLimit(msgspec.Struct, frozen=True):
    """
    Limit how many records a stage handles, in all processes together.

    Args:
        text: As written: `500/s`.
        per_second: Records per second.
        burst: Records that may be handled at once.
    """

    text: str
    per_second: float
    burst: int


class ConnectorRef(msgspec.Struct, frozen=True):
    """
    Identify a source's or sink's connector, with its settings.

    Args:
        kind: Source or sink.
        type: Its name in the table of connectors.
        options: An instance of the connector's `Options`.
        home: The folder from which the user's function is imported, if there is one; None for the project
            root.
    """

    kind: Literal["source", "sink"]
    type: str
    options: Any
    home: Path | None = None


class HandlerRef(msgspec.Struct, frozen=True):
    """
    Identify a handler.

    Args:
        text: `module:function` as the user wrote it.
        root: The folder its module is imported from; None for the project root.
    """

    module: str
    function: str
    text: str
    root: Path | None = None


class RouteCase(msgspec.Struct, frozen=True):
    """Name a port, and the condition for records to go there; `otherwise` has none and comes last."""

    to: str
    when: Expression | None


class Telemetry(msgspec.Struct, frozen=True):
    """
    Define what is traced.

    Args:
        sample: Which records, decided where they enter.
        ui: Where traces can be viewed, for links in messages; empty if unknown.
        trust: Whether to follow every trace that records bring from outside.
        journal: Number of records whose outcomes each stage stores.
    """

    sample: Sampling = msgspec.field(default_factory=lambda: Sampling("rate", 10.0))
    ui: str = ""
    trust: bool = False
    journal: int = 0


class Stage(msgspec.Struct, frozen=True):
    """
    Describe one resolved stage.

    Args:
        name: The stage's stream, group, span, metric and DLQ name.
        verb: The kind of stage; `pass` emits records unchanged (stream source, stream sink).
        options: The verb's own settings. source, sink: ConnectorRef; call: HandlerRef; map: field ->
            Expression, or None to remove the field; filter: Expression; route: tuple of RouteCase; select:
            Selection; explode: Explosion; sample: Share; validate: FieldsCheck, SchemaCheck or ModelCheck;
            lookup: Lookup; dedupe: Deduplication; join: Joining; aggregate: Aggregation; sql: SqlQuery; pass:
            None.
        values: The `with:` mapping for handlers.
        inputs: The streams it reads, each through the group named after the stage.
        outputs: Port -> stream; a single output has the empty port; a sink has none.
        batch_size: Maximum records in one handler call.
        batch_wait: Seconds to wait for a batch to fill.
        timeout: Maximum seconds for one handler call.
        workers: Batches handled concurrently in one process.
        concurrency: Concurrent calls within a batch of an async per-record handler.
        fuse: Whether it runs in the worker of the stage above; None to leave that to its verb.
        breaker: When it pauses because its calls fail; None for never.
        rate: Its limit of records per second; None for no limit.
        dead_letters: The limit of dead letters; None for none.
        digests: Setting -> a digest that shows whether it changed, but not its value.
        description: Its purpose, according to the file.
    """

    name: str
    verb: VerbName
    options: Any
    values: Mapping[str, Any]
    inputs: tuple[StreamRef, ...]
    outputs: Mapping[str, StreamRef]
    batch_size: int
    batch_wait: float
    timeout: float
    retry: RetryPolicy
    on_error: OnError
    workers: int = 1
    concurrency: int = 1
    fuse: bool | None = None
    breaker: BreakerPolicy | None = None
    rate: RateLimit | None = None
    dead_letters: DeadLetterLimit | None = None
    digests: Mapping[str, str] = msgspec.field(default_factory=dict)
    description: str = ""

    @property
    def dlq(self) -> StreamRef:
        """The stage's dead letters."""
        return StreamRef(f"{self.name}:dlq")

    @property
    def again_stream(self) -> StreamRef:
        """Records whose next attempt is due, and replayed ones; read in addition to the inputs."""
        return StreamRef(f"{self.name}:again")


class Graph(msgspec.Struct, frozen=True):
    """
    Describe a whole pipeline.

    Args:
        pipeline: Its name: the hash tag of all its keys.
        stages: In topological order: a stage comes after all stages that it reads.
        root: The project root, the base of relative paths and handler modules.
        redis_url: Empty for the embedded server.
        max_backlog: Records a stream may hold for its slowest group before its writers pause.
        max_record: Maximum bytes of one encoded record.
        keep: Seconds for which acknowledged entries are kept.
        reclaim_idle: Seconds without a sign of life after which a consumer's entries are taken over.
        drain_timeout: Maximum seconds for a stop.
        spec_hash: Changes with what the spec does, but not with tuning or descriptions.
        serializer: The format of records in entries.
        text: The file as read, with variables and secrets not replaced.
        places: Stage -> the place of its definition, `orders.yaml:12:5: stages.load.sink`.
        secrets: Values of `${secret:NAME}`, to be kept out of logs and messages.
        warnings: What its stages do with the fields of records, and hardly as it is meant.
        written: Sink -> what is known about the fields of the records that it writes.
    """

    pipeline: str
    stages: tuple[Stage, ...]
    root: Path
    path: Path
    redis_url: str = ""
    description: str = ""
    max_backlog: int = 10_000
    max_record: int = 16 * 1024 * 1024
    keep: float = 0.0
    reclaim_idle: float = 5.0
    drain_timeout: float = 10.0
    spec_hash: str = ""
    serializer: Literal["json", "msgpack"] = "json"
    text: str = ""
    places: Mapping[str, str] = msgspec.field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    warnings: tuple[Problem, ...] = ()
    written: Mapping[str, Known] = msgspec.field(default_factory=dict)
    telemetry: Telemetry = msgspec.field(default_factory=Telemetry)

    def __repr__(self) -> str:
        """Show the pipeline's name, and nothing that may hold a password or a secret."""
        return f"Graph(pipeline={self.pipeline!r}, path={str(self.path)!r}, stages={self.stages!r})"

    @property
    def spec(self) -> str:
        """The file's name quoted for a shell command."""
        return shlex.quote(str(self.path))

    def stage(self, name: str) -> Stage:
        """Find a stage by name; KeyError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def readers(self, ref: StreamRef) -> tuple[Stage, ...]:
        """List the stages that read a stream."""
        return tuple(stage for stage in self.stages if ref in stage.inputs)
