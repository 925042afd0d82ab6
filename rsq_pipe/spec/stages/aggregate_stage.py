"""AggregateStage: the settings of a stage that computes records from groups of records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from rsq_pipe.spec.models import Condition, Expressions, Output, ReadingStage, Settings
from rsq_pipe.spec.validation import describe
from rsq_pipe.units import DURATION_PATTERN, Duration, OneOrMore, format_duration, parse_duration
from rsq_pipe.zones import Zone

MAX_KEYS = 1_000_000
MIN_EMIT = 0.1
MAX_OVERLAP = 100
"""Maximum number of windows of one record."""

_OF_WINDOWS = ("late", "idle", "start", "end", "zone")
_DAY = 86_400


def _emission(value: object) -> float | None:
    if value in (None, "close"):
        return None
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            raise ValueError(f"{value!r} is neither `close` nor a duration; write close, or 10s") from None
    raise ValueError(f"must be `close` or a duration, not {describe(value)}; write close, or 10s")


Emission = Annotated[
    float | None,
    BeforeValidator(_emission),
    WithJsonSchema({"anyOf": [{"const": "close"}, {"type": "string", "pattern": DURATION_PATTERN}]}),
]
By = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                {
                    "type": "object",
                    "additionalProperties": {"type": ["string", "number", "boolean"]},
                    "minProperties": 1,
                },
            ]
        }
    ),
]


class Aggregate(Settings):
    """Groups, windows, and what is computed."""

    by: By = Field(
        default=None,
        description="The fields whose values make a group, or `name: expression` for each; left out: all "
        "records are one group.",
    )
    every: Duration | None = Field(
        default=None, description="How often a window begins; left out: one result when all input has ended."
    )
    over: Duration | None = Field(
        default=None, description="How long a window is: a whole multiple of `every`; left out: as `every`."
    )
    gap: Duration | None = Field(
        default=None, description="A window ends when no record of its group came for this long: a session."
    )
    zone: Zone | None = Field(
        default=None,
        description="The time zone whose days `every` and `over` count, `Europe/Berlin`; `7d` are weeks from "
        "Monday. Left out: UTC, and `7d` are weeks from Thursday.",
    )
    on: Condition = Field(
        default=None,
        description="The time of a record, an expression: ISO 8601 text (without offset: UTC), or seconds "
        "since 1970.",
    )
    late: Duration | None = Field(
        default=None,
        description="How far a record may be behind the latest one. Left out: 0s; if all records come from "
        "sources, windows close when these have ended.",
    )
    idle: Duration | None = Field(
        default=None,
        description="An input without a record for this long holds no window open; 5m if left out.",
    )
    compute: Expressions = Field(description="Field -> function over the records of a group, see below.")
    having: Condition = Field(
        default=None, description="An expression over a result; results for which it is not true are dropped."
    )
    emit: Emission = Field(
        default=None,
        description="`close`: a result when its window closes; a duration: before that also one at this "
        "interval, for each group that has changed. `final` says which it is.",
        json_schema_extra={"default": "close"},
    )
    max_keys: OneOrMore = Field(
        default=MAX_KEYS, description="How many groups may be open at once; more stop the stage."
    )
    start: str | None = Field(
        default=None,
        min_length=1,
        description="The field with a window's start; `window_start` if left out.",
    )
    end: str | None = Field(
        default=None, min_length=1, description="The field with a window's end; `window_end` if left out."
    )

    @model_validator(mode="after")
    def _makes_windows(self) -> Aggregate:
        if wrong := next(chain(self._wrong(), self._wrong_zone()), None):
            raise ValueError(wrong)
        return self

    def _wrong(self) -> Iterator[str]:
        if self.every is not None and self.gap is not None:
            yield "it has both `every` and `gap`; keep `every` for windows of one length, `gap` for sessions"
        for name in ("every", "gap"):
            given = getattr(self, name)
            if given is not None and given < 0.001:
                yield f"`{name}` is zero; give it a length, such as 1h"
            if given is not None and self.on is None:
                yield f"`{name}` needs the time of a record; add `on: FIELD`"
        if self.over is not None:
            yield from self._wrong_overlap(self.over)
        if self.every is None and self.gap is None:
            for name in _OF_WINDOWS:
                if getattr(self, name) is not None:
                    every = "1d" if name == "zone" else "1h"
                    yield f"`{name}` is about windows, and there are none; add `every: {every}`, or remove it"

        if self.emit is not None and self.emit < MIN_EMIT:
            yield f"`emit` is less than {MIN_EMIT * 1000:.0f}ms; write close, or a length such as 10s"

    def _wrong_zone(self) -> Iterator[str]:
        if self.zone is None:
            return
        if self.gap is not None:
            yield "`zone` is for windows of whole days, and `gap` makes sessions; remove `zone`"
        if self.every is not None and self.every % _DAY:
            what = f"`zone` is for windows of whole days, and `every` is {format_duration(self.every)}"
            yield f"{what}; write `every: 1d`, or remove `zone`"

    def _wrong_overlap(self, over: float) -> Iterator[str]:
        if self.every is None:
            yield "`over` is how long windows are that begin `every` so often; add `every: 5m`"
            return
        count = round(over * 1000) / max(1, round(self.every * 1000))
        if count < 1 or count != int(count):
            yield "`over` is not a whole multiple of `every`; write `every: 5m` and `over: 1h`, say"
        if count > MAX_OVERLAP:
            yield f"a record would be in {int(count)} windows; `over` may be {MAX_OVERLAP} times `every`"


class AggregateStage(ReadingStage):
    """Compute one record from all records of a group, in windows of time or over all input."""

    aggregate: Aggregate = Field(description="Groups, windows and what is computed.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")
