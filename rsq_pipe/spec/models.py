"""Models: every setting of a pipeline file, with its type, its default and what it does."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rsq_pipe.spec.fields import HANDLER_PATTERN, Count, Name, Sample, ServerUrl
from rsq_pipe.spec.on_error import OnErrorSetting
from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.units import Duration, Many, OneOrMore, Rate, Size

_STREAM = {
    "type": "object",
    "properties": {"stream": {"type": "string", "minLength": 1, "description": "The stream's whole key."}},
    "required": ["stream"],
    "additionalProperties": False,
}
_READ = {"type": "string", "pattern": r"^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)?$"}
OTHERS = {"type": "object", "title": "StreamInput"}
"""A placeholder for any settings of the source `stream`; the schema has them once."""
_INPUT = {"anyOf": [_READ, OTHERS]}
_EXPRESSION: dict[str, Any] = {"type": ["string", "number", "boolean"]}

Input = Annotated[
    Any, WithJsonSchema({"anyOf": [*_INPUT["anyOf"], {"type": "array", "items": _INPUT, "minItems": 1}]})
]
OneInput = Annotated[Any, WithJsonSchema(_INPUT)]
NO_OUTPUT = "none"
MAX_JOURNAL = 10_000_000
MAX_RECORD = 256 * 1024 * 1024  # the server takes 512 MB in one argument
Output = Annotated[Any, WithJsonSchema(_STREAM)]
OutputOrNone = Annotated[Any, WithJsonSchema({"anyOf": [_STREAM, {"const": NO_OUTPUT}]})]
Expressions = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            "minProperties": 1,
        }
    ),
]
Condition = Annotated[Any, WithJsonSchema(_EXPRESSION)]


class Settings(BaseModel):
    """A group of settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Redis(Settings):
    """Where the pipeline's streams live."""

    url: ServerUrl = Field(
        default="",
        description="`redis://`, `rediss://` or `unix://`; for a cluster `redis+cluster://HOST,HOST`, for a "
        "primary that sentinels watch `redis+sentinel://HOST,HOST/SERVICE/DB`, with TLS `rediss+...`; empty "
        "for the embedded server.",
    )


class Batch(Settings):
    """What one handler call gets."""

    size: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=500,
        description="Records in one batch, at most; at 500 a stage that only computes, or whose function is "
        "quick, reads up to 2,000.",
    )
    wait: Duration = Field(
        default=0.0, description="How long to wait for a batch to fill; by default it does not wait."
    )


class Backoff(Settings):
    """How long a failed record waits: `first`, doubled with each attempt, up to `max`."""

    first: Duration = Field(default=0.2, description="Wait before the second attempt.")
    max: Duration = Field(default=30.0, description="Longest wait.")
    jitter: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.2, description="Share of each wait that is random."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Backoff:
        if self.first > self.max:
            raise ValueError("`first` is longer than `max`; make `max` the longest wait")
        return self


class Retry(Settings):
    """How often, and when, a failed record is handled again."""

    attempts: Count = Field(
        default=3, description="Handler calls a record may fail before it becomes a dead letter."
    )
    backoff: Backoff = Field(default=Backoff(), description="How long it waits between them.")
    deliveries: int = Field(
        default=5,
        ge=2,
        description="How often an entry may be delivered before it counts as one that kills its worker; at "
        "least 2, because the first time it is one of a batch.",
    )


class Breaker(Settings):
    """When a stage pauses because its calls keep failing for one cause; `breaker: false`: never."""

    failures: Count = Field(
        default=20,
        description="How many different records fail in a row, each with the same type of error and none "
        "handled in between, before it pauses; at most 5 if nothing answers: a connection refused or lost, a "
        "call that ran past `timeout`.",
    )
    first: Duration = Field(default=0.1, description="Pause before one record is tried.")
    max: Duration = Field(
        default=60.0, description="Longest pause: it is doubled each time that record fails, too."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Breaker:
        if self.first > self.max:
            raise ValueError("`first` is longer than `max`; make `max` the longest pause")
        if not self.first:
            raise ValueError("`first` is zero; give the pause a length, such as 1s")
        return self


def _switched(value: object) -> object:
    """Read only `false` as none: an empty breaker was not meant to be off."""
    if value is None:
        raise ValueError("must be false or a mapping, not nothing; write `breaker: false` to have none")
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


BreakerOrNone = Annotated[
    Breaker | None,
    BeforeValidator(_switched),
    Field(json_schema_extra=lambda schema: schema["anyOf"][1].update({"type": "boolean"})),
]


class Reclaim(Settings):
    """When a worker's entries are taken over."""

    idle: Duration = Field(
        default=5.0, description="Time without a sign of life after which they are taken over."
    )


class Telemetry(Settings):
    """What is traced."""

    sample: Sample = Field(
        default=parse_sampling("10/s"),
        description="Which records are traced: a rate, a share, `all` or `none`.",
        json_schema_extra={"default": "10/s"},
    )
    journal: Many = Field(
        default=0,
        le=MAX_JOURNAL,
        description="For how many of its last records each stage remembers what became of them, for "
        "`rsq-pipe trace`; 0 for none.",
    )
    ui: str = Field(default="", description="Where traces can be viewed, for links in messages.")
    trust: bool = Field(
        default=False,
        description="Whether to follow every sampled trace that a record brings from outside, rather than "
        "only as many as `sample` allows.",
    )


class Tuning(Settings):
    """How a stage works; given under `defaults` for all stages, or on one stage."""

    batch: Batch = Field(
        default=Batch(), description="What one handler call gets, and how long to wait for it to fill."
    )
    timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=30.0,
        description="How long one call may take: of a handler, a query of `sql`, a request of `lookup`; one "
        "request of the sink `http`, one run or answer of `exec`, one call of `python`. Other sinks and "
        "sources that wait for a server have their own `timeout` setting.",
    )
    retry: Retry = Field(
        default=Retry(), description="How often, and when, a failed record is handled again."
    )
    on_error: OnErrorSetting = Field(
        default="dlq",
        description="What becomes of a record out of attempts: a dead letter, nothing, or the end. "
        "`{dlq: {max: 5%}}`: dead letters, until they are too many. What is not a record, as a broken line "
        "of a source, or is rejected, is a dead letter in any case.",
    )
    breaker: BreakerOrNone = Field(
        default=Breaker(),
        description="When a `call` stage pauses because what it calls is down, instead of using up its "
        "records' attempts; `false`: never.",
    )
    workers: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1,
        description="Batches handled at once in a process; always one of a source, and of a sink other than "
        "`http`, `exec` and `python`.",
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="Calls of an async handler in flight at once within a batch."
    )
    fuse: bool | None = Field(
        default=None,
        description="Whether a stage that is the only reader of one port of the stage above runs in that "
        "stage's worker, without a stream in between. Left out: verbs that only compute do; those that run "
        "your code (`call`, `validate` by a model) do not, and never join a source.",
    )


class Throttle(Settings):
    """How fast a stage may go."""

    rate: Rate | None = Field(
        default=None,
        description="Records that the stage handles at most, in all processes together: `500/s`, `30/m`, "
        "`10/h`. A change takes effect within a second, without a restart. Left out: no limit.",
    )
    burst: OneOrMore | None = Field(
        default=None,
        description="Records that it may handle at once after having had less to do, and the most in one "
        "batch; left out: what `rate` allows in a tenth of a second, at least 1.",
    )


class StageSettings(Throttle, Tuning):
    """What every stage may hold."""

    description: str = Field(default="", description="What the stage is for.")


class ReadingStage(StageSettings):
    """What every stage with an input may hold."""

    from_: Input = Field(
        default=None,
        alias="from",
        description="The stage, port or stream to read, or a list; left out: the stage above.",
    )


class SourceStage(StageSettings):
    """Where records enter."""

    source: dict[str, Any] = Field(description="The connector's `type` and its settings.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class CallStage(ReadingStage):
    """Call a Python function."""

    call: Annotated[str, WithJsonSchema({"type": "string", "pattern": HANDLER_PATTERN})] = Field(
        description="The handler, `module:function`, found from the project root, else beside this file."
    )
    with_: dict[str, Any] = Field(
        default={}, alias="with", description="Values for the handler: `ctx.values`."
    )
    ports: list[Name] = Field(
        default=[], description="Ports the handler sends records to, besides its plain output."
    )
    to: OutputOrNone = Field(
        default=None,
        description="`{stream: NAME}`: publish the output under its own name; `none`: there is no "
        "output, the handler is called for its effects, and each record that it handles counts as out.",
    )


class MapStage(ReadingStage):
    """Add, replace and remove fields."""

    map: Expressions = Field(
        description="Field -> expression over the record as it came in; null removes the field."
    )
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class FilterStage(ReadingStage):
    """Keep the records for which an expression holds; drop and count the others."""

    filter: Condition = Field(description="The expression.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")


class Case(Settings):
    """One case of a route: a port, and either `when` or `otherwise`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["when"]}, {"required": ["otherwise"]}]},
    )

    to: Name = Field(description="The port.")
    when: Condition = Field(default=None, description="The expression that sends a record there.")
    otherwise: Annotated[Literal[True] | None, WithJsonSchema({"const": True})] = Field(
        default=None, description="`true`: whatever no other case took; must be last."
    )


class RouteStage(ReadingStage):
    """Send each record to the first port whose expression holds."""

    route: Annotated[list[Case], Field(min_length=1)] = Field(
        description="The cases, in order; the last is `otherwise`.",
        json_schema_extra={"contains": {"required": ["otherwise"]}},
    )


class SinkStage(ReadingStage):
    """Where records leave."""

    sink: dict[str, Any] = Field(description="The connector's `type` and its settings.")


class Pipeline(Settings):
    """A pipeline file."""

    version: Literal[1] = Field(description="The version of this format: 1.", examples=[1])
    pipeline: Name = Field(
        description="The pipeline's name: the hash tag of all its keys.", examples=["orders"]
    )
    description: str = Field(default="", description="What the pipeline is for.")
    redis: Redis = Field(default=Redis(), description="Where the pipeline's streams live.")
    defaults: Tuning = Field(
        default=Tuning(), description="Settings for all stages; a stage may say otherwise."
    )
    max_backlog: Count = Field(
        default=10_000, description="Records a stream may hold for its slowest reader before writers pause."
    )
    max_record: Size = Field(
        default="16MiB",
        validate_default=True,
        gt=0,
        le=MAX_RECORD,
        description="Bytes of one written record, at most. If a stage makes a larger one, the record it was "
        "made from becomes a dead letter.",
    )
    keep: Duration = Field(default=0.0, description="How long acknowledged entries are kept, for replay.")
    reclaim: Reclaim = Field(default=Reclaim(), description="When a worker's entries are taken over.")
    drain_timeout: Duration = Field(
        default=10.0, description="How long a stop may take to finish what is in flight."
    )
    serializer: Literal["json", "msgpack"] = Field(
        default="json", description="How records are written into entries."
    )
    telemetry: Telemetry = Field(default=Telemetry(), description="What is traced.")
    stages: dict[str, Any] = Field(
        description="Name -> stage, in reading order.",
    )
