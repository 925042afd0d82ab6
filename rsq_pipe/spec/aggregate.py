"""aggregate in a file: groups of records, windows of time, and what is computed of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, ValidationError, WithJsonSchema, model_validator

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.computation import Computation, parse_computation
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expression import Expression, compile_expression
from rsq_pipe.spec.models import Condition, Expressions, Output, ReadingStage, Settings
from rsq_pipe.spec.validation import describe
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import Duration, Many, format_duration

LATE = "late"
"""The port of records that come too late."""

MAX_KEYS = 1_000_000
MAX_OVERLAP = 100
"""Windows that one record may be in."""

_OF_WINDOWS = ("late", "idle", "start", "end")


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
        description="The fields whose values make a group, or `name: expression` of each; left out: all "
        "records are one group.",
    )
    every: Duration | None = Field(
        default=None, description="A window begins so often; left out: one result when all input has ended."
    )
    over: Duration | None = Field(
        default=None, description="How long a window is: a whole multiple of `every`; left out: as `every`."
    )
    on: Condition = Field(
        default=None,
        description="The time of a record, an expression: ISO 8601 text (without offset: UTC), or seconds "
        "since 1970.",
    )
    late: Duration | None = Field(
        default=None, description="How much later than the latest a record may be; 0s if left out."
    )
    idle: Duration | None = Field(
        default=None,
        description="An input without a record for so long holds no window open; 5m if left out.",
    )
    compute: Expressions = Field(description="Field -> function over the records of a group, see below.")
    having: Condition = Field(
        default=None, description="An expression over a result; one for which it is not true is dropped."
    )
    max_keys: Many = Field(
        default=MAX_KEYS, gt=0, description="How many groups are open at once, at most; more stop the stage."
    )
    start: str | None = Field(
        default=None, description="The field with a window's start; `window_start` if left out."
    )
    end: str | None = Field(
        default=None, description="The field with a window's end; `window_end` if left out."
    )

    @model_validator(mode="after")
    def _makes_windows(self) -> Aggregate:
        if wrong := next(self._wrong(), None):
            raise ValueError(wrong)
        return self

    def _wrong(self) -> Iterator[str]:
        if self.every is not None and self.every < 0.001:
            yield "`every` is no time at all; give it a length, such as 1h"
        if self.every is not None and self.on is None:
            yield "`every` needs the time of a record; add `on: FIELD`"
        if self.over is not None:
            yield from self._wrong_overlap(self.over)
        if self.every is None:
            for name in _OF_WINDOWS:
                if getattr(self, name) is not None:
                    yield f"`{name}` is about windows, and there are none; add `every: 1h`, or remove it"

    def _wrong_overlap(self, over: float) -> Iterator[str]:
        if self.every is None:
            yield "`over` is how long windows are that begin `every` so often; add `every: 5m`"
            return
        count = round(over * 1000) / max(1, round(self.every * 1000))
        if count < 1 or count != int(count):
            yield "`over` is no whole multiple of `every`; write `every: 5m` and `over: 1h`, say"
        if count > MAX_OVERLAP:
            yield f"a record would be in {int(count)} windows; `over` may be {MAX_OVERLAP} times `every`"


class AggregateStage(ReadingStage):
    """Compute one record of all of a group, in windows of time or over all input."""

    aggregate: Aggregate = Field(description="Groups, windows and what is computed.")
    to: Output = Field(
        default=None, description="`{stream: NAME}`: publish the output under a name of its own."
    )


@dataclass(frozen=True, slots=True)
class Windows:
    """
    Say which windows a record is in; all lengths in milliseconds.

    Args:
        every: How often one begins.
        over: How long each is.
        late: How much later than the latest a record may be.
        idle: After how long an input without records holds none open.
        start, end: The fields of a result.
    """

    every: int
    over: int
    late: int = 0
    idle: int = 300_000
    start: str = "window_start"
    end: str = "window_end"

    @property
    def text(self) -> str:
        """They in a few words."""
        spell = format_duration
        over = f" over {spell(self.over / 1000)}" if self.over != self.every else ""
        return f"every {spell(self.every / 1000)}{over}"


@dataclass(frozen=True, slots=True)
class Aggregation:
    """
    Say what a stage computes of which records.

    Args:
        by: Field of a result -> what makes the group.
        compute: Field of a result -> what is computed.
        windows: In which windows; None for one result when all input has ended.
        on: The time of a record; None where nothing asks for it.
        having: What a result must be to go on.
        max_keys: How many groups may be open at once.
    """

    by: tuple[tuple[str, Expression], ...]
    compute: tuple[tuple[str, Computation], ...]
    windows: Windows | None = None
    on: Expression | None = None
    having: Expression | None = None
    max_keys: int = MAX_KEYS

    @property
    def text(self) -> str:
        """It in a few words."""
        names = ", ".join(name for name, _ in self.compute)
        by = f" by {', '.join(name for name, _ in self.by)}" if self.by else ""
        return f"{names}{by}{f' {self.windows.text}' if self.windows else ''}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a result, in their order."""
        windows = (self.windows.start, self.windows.end) if self.windows else ()
        return (*(name for name, _ in self.by), *windows, *(name for name, _ in self.compute))


def read_aggregate(document: Document, value: Any, path: Path_) -> Aggregation | None:
    """Read what a stage computes, reporting every mistake in it; other mistakes are reported."""
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
        settings.max_keys,
    )
    _check_names(document, found, path)
    _check_having(document, found, (*path, "having"))
    return None if document.failed(path) else found


def _windows(settings: Aggregate) -> Windows | None:
    if settings.every is None:
        return None
    every = _ms(settings.every)
    return Windows(
        every,
        _ms(settings.over) if settings.over is not None else every,
        _ms(settings.late or 0),
        _ms(300 if settings.idle is None else settings.idle),
        settings.start or "window_start",
        settings.end or "window_end",
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _by(document: Document, value: Any, path: Path_) -> Mapping[str, Expression]:
    """Read what makes a group: fields, or expressions with names."""
    if value is None and path not in document.values:
        return {}
    if isinstance(value, dict) and value:
        found = {name: _expression(document, text, (*path, name)) for name, text in value.items()}
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
            document.report(where, f"field {name!r} stands there twice", "remove one")
        elif not name.isidentifier():
            what = f"{name!r} is no name of a field that could stand alone"
            document.report(where, what, "write `by: {NAME: EXPRESSION}`, the field as record['...']")
        elif (expression := _expression(document, name, where)) is not None:
            fields[name] = expression
    return fields


def _compute(document: Document, value: Any, path: Path_) -> Mapping[str, Computation]:
    if not isinstance(value, dict):
        return {}
    if not value:
        document.report(path, "it computes nothing", "write `compute: {count: count()}`")
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
    return None if value is None else _expression(document, value, path)


def _expression(document: Document, value: Any, path: Path_) -> Expression | None:
    if value is None or isinstance(value, dict | list):
        document.report(path, f"must be an expression, not {describe(value)}", "write it as text, in quotes")
        return None
    try:
        return compile_expression(value if isinstance(value, str) else repr(value))
    except ExpressionError as exc:
        what, _, fix = str(exc).partition("; ")
        document.report(path, what, fix)
        return None


def _check_names(document: Document, found: Aggregation, path: Path_) -> None:
    """Report two fields of a result that have one name."""
    owners = {name: "a field of `by`" for name, _ in found.by}
    windows = found.windows
    for key, name in (("start", windows.start), ("end", windows.end)) if windows else ():
        if name in owners:
            what = f"{name!r} is the name of {owners[name]}, and of a window's {key}"
            document.report((*path, key), what, f"choose another by `{key}: NAME`")
        owners.setdefault(name, f"the window's {key}")
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
