"""aggregate in a file: groups of records, windows of time, and what is computed from each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from msgspec import Struct
from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, model_validator

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.models import Condition, Expressions, Output, ReadingStage, Settings
from rsq_pipe.spec.stages.computation import Computation, parse_computation
from rsq_pipe.spec.stages.read_expression import read_expression
from rsq_pipe.spec.validation import describe
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import DURATION_PATTERN, Duration, Many, format_duration, parse_duration

LATE = "late"
"""The port of late records."""

FINAL = "final"
"""The field that says whether a result is the last of its window, if there are earlier ones."""

MAX_KEYS = 1_000_000
MIN_EMIT = 0.1
MAX_OVERLAP = 100
"""Maximum number of windows of one record."""

_OF_WINDOWS = ("late", "idle", "start", "end")


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
    max_keys: Many = Field(
        default=MAX_KEYS, gt=0, description="How many groups may be open at once; more stop the stage."
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
        if wrong := next(self._wrong(), None):
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
                    yield f"`{name}` is about windows, and there are none; add `every: 1h`, or remove it"

        if self.emit is not None and self.emit < MIN_EMIT:
            yield f"`emit` is less than {MIN_EMIT * 1000:.0f}ms; write close, or a length such as 10s"

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


class Windows(Struct, frozen=True):
    """
    Define the windows of a record; all lengths in milliseconds.

    Args:
        every: How often one begins; 0 for sessions.
        over: Length of each; 0 for sessions.
        gap: Length of a session after its last record; 0 for windows of one length.
        late: How far a record may be behind the latest one; None if not set.
        idle: Time after which an input without records holds no window open.
        start, end: The fields of a result.
    """

    every: int
    over: int
    gap: int = 0
    late: int | None = None
    idle: int = 300_000
    start: str = "window_start"
    end: str = "window_end"

    @property
    def text(self) -> str:
        """The windows in a few words."""
        spell = format_duration
        if self.gap:
            return f"sessions {spell(self.gap / 1000)} apart"
        over = f" over {spell(self.over / 1000)}" if self.over != self.every else ""
        return f"every {spell(self.every / 1000)}{over}"


class Aggregation(Struct, frozen=True):
    """
    Define what a stage computes from which records.

    Args:
        by: Field of a result -> the expression of the group's value.
        compute: Field of a result -> its computation.
        windows: The windows; None for one result when all input has ended.
        on: The time of a record; None if it is not needed.
        having: The condition for a result to go on.
        emit: Seconds between results of open groups; None for results of closed ones only.
        max_keys: Maximum number of open groups.
    """

    by: tuple[tuple[str, Expression], ...]
    compute: tuple[tuple[str, Computation], ...]
    windows: Windows | None = None
    on: Expression | None = None
    having: Expression | None = None
    emit: float | None = None
    max_keys: int = MAX_KEYS

    @property
    def text(self) -> str:
        """The aggregation in a few words."""
        names = ", ".join(name for name, _ in self.compute)
        by = f" by {', '.join(name for name, _ in self.by)}" if self.by else ""
        return f"{names}{by}{f' {self.windows.text}' if self.windows else ''}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a result, in order."""
        windows = (self.windows.start, self.windows.end) if self.windows else ()
        final = (FINAL,) if self.emit is not None else ()
        return (*(name for name, _ in self.by), *windows, *(name for name, _ in self.compute), *final)


def read_aggregate(document: Document, value: Any, path: Path_) -> Aggregation | None:
    """Read what a stage computes, reporting every mistake in it; those in settings are reported already."""
    if not isinstance(value, dict):
        return None
    by = _by(document, value.get("by"), (*path, "by"))
    compute = _compute(document, value.get("compute"), (*path, "compute"))
    on = _optional(document, value.get("on"), (*path, "on"))
    having = _optional(document, value.get("having"), (*path, "having"))
    try:
        settings = Aggregate.model_validate(value)
    except ValidationError:
        return None
    found = Aggregation(
        tuple(by.items()),
        tuple(compute.items()),
        _windows(settings),
        on,
        having,
        settings.emit,
        settings.max_keys,
    )
    _check_names(document, found, path)
    _check_having(document, found, (*path, "having"))
    return None if document.failed(path) else found


def _windows(settings: Aggregate) -> Windows | None:
    if settings.every is None and settings.gap is None:
        return None
    every, gap = _ms(settings.every or 0), _ms(settings.gap or 0)
    return Windows(
        every,
        _ms(settings.over) if settings.over is not None else every,
        gap,
        None if settings.late is None else _ms(settings.late),
        _ms(300 if settings.idle is None else settings.idle),
        settings.start or "window_start",
        settings.end or "window_end",
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _by(document: Document, value: Any, path: Path_) -> Mapping[str, Expression]:
    """Read the expressions that define the group: fields, or named expressions."""
    if value is None and path not in document.values:
        return {}
    if isinstance(value, dict) and value:
        document.report_unnamed(value, path)
        found = {name: read_expression(document, text, (*path, name)) for name, text in value.items()}
        return {name: expression for name, expression in found.items() if expression is not None}
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        wanted = "a field, a list of fields, or a mapping of names to expressions"
        document.report(path, f"must be {wanted}, not {describe(value)}", "write [carrier]")
        return {}
    fields: dict[str, Expression] = {}
    for at, name in enumerate(names):
        where = path if isinstance(value, str) else (*path, at)
        if name in fields:
            document.report(where, f"field {name!r} appears twice", "remove one")
        elif not name.isidentifier():
            what = f"{name!r} is not a field name that can stand alone"
            document.report(where, what, "write `by: {NAME: EXPRESSION}`, the field as record['...']")
        elif (expression := read_expression(document, name, where)) is not None:
            fields[name] = expression
    return fields


def _compute(document: Document, value: Any, path: Path_) -> Mapping[str, Computation]:
    if not isinstance(value, dict):
        return {}
    if not value:
        document.report(path, "it computes nothing", "write `compute: {count: count()}`")
    document.report_unnamed(value, path)
    found: dict[str, Computation] = {}
    for name, text in value.items():
        where = (*path, name)
        if not isinstance(text, str):
            what = f"must be a function over the records, not {describe(text)}"
            document.report(where, what, "write count(), or sum(x)")
            continue
        try:
            found[name] = parse_computation(text)
        except ExpressionError as exc:
            what, _, fix = str(exc).partition("; ")
            document.report(where, what, fix)
    return found


def _optional(document: Document, value: Any, path: Path_) -> Expression | None:
    return None if value is None else read_expression(document, value, path)


def _check_names(document: Document, found: Aggregation, path: Path_) -> None:
    """Report two fields of a result with the same name."""
    owners = {name: "a field of `by`" for name, _ in found.by}
    windows = found.windows
    for key, name in (("start", windows.start), ("end", windows.end)) if windows else ():
        if name in owners:
            what = f"{name!r} is the name of {owners[name]}, and of a window's {key}"
            document.report((*path, key), what, f"choose another by `{key}: NAME`")
        owners.setdefault(name, f"the window's {key}")
    if found.emit is not None:
        owners.setdefault(FINAL, "the field that marks the last result of a window")
    for name, _ in found.compute:
        if name in owners:
            what = f"{name!r} is the name of {owners[name]}, too"
            document.report((*path, "compute", name), what, "choose another name", key=True)


def _check_having(document: Document, found: Aggregation, path: Path_) -> None:
    if found.having is None:
        return
    for name in sorted(found.having.names - set(found.fields)):
        what = f"a result has no field {name!r}"
        document.report(path, what, suggest(name, found.fields))
