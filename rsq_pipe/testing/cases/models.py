"""Models: every setting of a test file, with its type, default and meaning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rsq_pipe.spec.fields import HANDLER_PATTERN
from rsq_pipe.spec.models import Settings
from rsq_pipe.spec.validation import describe

RECORDS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "object"},
    "description": "Records, a mapping each.",
}
FILE: dict[str, Any] = {
    "type": "object",
    "properties": {"file": {"type": "string", "description": "A csv or jsonl file, found from this one."}},
    "required": ["file"],
    "additionalProperties": False,
    "description": "All records of a csv or jsonl file.",
}
_STREAMS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"anyOf": [RECORDS, FILE]},
    "description": "Stage, or its port, or a stream from outside -> the records that come from there.",
}


def _given(value: object) -> object:
    """Accept records, a file of them, or a mapping of streams to either."""
    if _is_records(value) or _is_file(value):
        return value
    if not isinstance(value, dict):
        held = [one for one in value if not isinstance(one, dict)] if isinstance(value, list) else []
        raise ValueError(  # noqa: TRY004  pydantic wants a ValueError
            f"must be a list of records, or a mapping, not {describe(value)}"
            f"{f' that holds {describe(held[0])}' if held else ''}; "
            "write - {id: 1}, or {file: orders.jsonl}, or STAGE: [...]"
        )
    for name, records in value.items():
        if not (_is_records(records) or _is_file(records)):
            raise ValueError(f"{name!r} must be a list of records, a mapping each; write - {{id: 1}}")
    return value


def _is_records(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _is_file(value: object) -> bool:
    return isinstance(value, dict) and list(value) == ["file"] and isinstance(value["file"], str)


def _records(value: object) -> object:
    if isinstance(value, list):
        wrong = next((one for one in value if not isinstance(one, dict)), None)
        if wrong is None:
            return value
        raise ValueError(f"a record is a mapping, not {describe(wrong)}; write - {{id: 1}}")
    raise ValueError(f"must be a list of records, not {describe(value)}; write - {{id: 1}}, or [] for none")


def _expected(value: object) -> object:
    if value is None or isinstance(value, dict):
        return value
    raise ValueError(
        f"must be a mapping of where records leave to these, not {describe(value)}; "
        "write {STAGE: [...]}, or {dlq: 1}, {dropped: 1}"
    )


Records = Annotated[list[dict[str, Any]], BeforeValidator(_records), WithJsonSchema(RECORDS)]
Given = Annotated[Any, BeforeValidator(_given), WithJsonSchema({"anyOf": [RECORDS, FILE, _STREAMS]})]
Count = Annotated[int, Field(ge=0)]


class ExpectedDeadLetter(Settings):
    """One dead letter; what is left out may be anything."""

    stage: str = Field(default="", description="The stage that failed it.")
    error: str = Field(default="", description="The error holds this text.")
    reason: str = Field(
        default="", description="A word for the cause: `rejected`, `handler_error`, `expression_error`, ..."
    )
    record: dict[str, Any] | None = Field(default=None, description="The record, as the stage got it.")


class Expect(Settings):
    """What becomes of the records: `out`, a port, a stage or `STAGE.PORT` -> the records that leave there."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Records] = Field(init=False)

    dlq: list[ExpectedDeadLetter] | Count = Field(
        default=[],
        description="The dead letters, or how many there are. Left out: there are none, in any test.",
    )
    dropped: Count | dict[str, Count] | None = Field(
        default=None,
        description="How many records end on purpose, or reason -> how many. Left out: none if one stage is "
        "tested, else any number.",
    )
    stopped: str = Field(
        default="", description="The run stops (`on_error: stop`) with an error that holds this text."
    )


class SinkMock(Settings):
    """A sink that refuses some records."""

    refuse: str = Field(description="An expression; records for which it is true are refused.")
    error: str = Field(default="refused by the test", description="The error with which they are refused.")


class Mocks(Settings):
    """What stands in the place of things outside."""

    lookups: dict[str, dict[str, dict[str, Any] | None]] = Field(
        default={},
        description="`lookup` stage -> key -> row; a key that is missing here has no row. A key of several "
        'fields is written `"[FR, 75001]"`: its parts in brackets, separated by a comma and a space.',
    )
    calls: dict[str, Annotated[str, Field(pattern=HANDLER_PATTERN)]] = Field(
        default={},
        description="`call` stage -> the handler that is called instead: `module:function`.",
    )
    sinks: dict[str, SinkMock] = Field(
        default={},
        description="Sink -> which records it refuses. No sink writes in a test; one that is not named here "
        "accepts all.",
    )


class Test(Settings):
    """One test: records, and what should become of them."""

    __test__ = False  # pytest would collect a class of this name

    stage: str = Field(default="", description="Test only this stage.")
    from_: str = Field(default="", alias="from", description="Test this stage and those below, up to `to`.")
    to: str = Field(default="", description="The last stage; left out with `from`: all below.")
    given: Given = Field(
        description="The records: a list, or `{file: PATH}`, or stage -> either of these. A list goes to the "
        "stage, or comes from the only source; a stage's name stands for what comes from that stage."
    )
    headers: dict[str, str] = Field(default={}, description="Headers that every record carries.")
    now: str = Field(
        default="", description="What `now()` gives, and the clock of windows: `2026-03-01T09:30:00Z`."
    )
    mocks: Mocks = Field(default=Mocks(), description="Replacements for things outside the pipeline.")
    match: Literal["exact", "partial"] = Field(
        default="exact",
        description="`partial`: a record may hold more fields than are expected, and a stage may send "
        "records to ports that are not named.",
    )
    order: Literal["given", "any"] = Field(
        default="given", description="`any`: records may come in any order."
    )
    expect: Annotated[Expect | None, BeforeValidator(_expected)] = Field(
        default=None, description="What becomes of them; `rsq-pipe test --update` fills it in."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Test:
        if self.stage and (self.from_ or self.to):
            raise ValueError("it has `stage` and `from` or `to`; keep `stage` to test one stage alone")
        return self


class TestFile(Settings):
    """Tests of a pipeline: `orders_test.yaml` beside `orders.yaml`."""

    __test__ = False

    pipeline: str = Field(
        default="", description="The pipeline file, relative to this one. Left out: the name without `_test`."
    )
    tests: dict[str, Test] = Field(description="What is tested, in words -> the test.", min_length=1)
