"""aggregate in a file: groups of records, windows of time, and what is computed from each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from rsq_pipe.errors import ExpressionError
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.stages.aggregate_stage import MAX_KEYS, Aggregate
from rsq_pipe.spec.stages.computation import Computation, parse_computation
from rsq_pipe.spec.stages.read_expression import read_expression
from rsq_pipe.spec.validation import describe
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import format_duration

LATE = "late"
"""The port of late records."""

FINAL = "final"
"""The field that says whether a result is the last of its window, if there are earlier ones."""


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
        zone: The time zone whose days they are; empty for windows of a fixed length.
    """

    every: int
    over: int
    gap: int = 0
    late: int | None = None
    idle: int = 300_000
    start: str = "window_start"
    end: str = "window_end"
    zone: str = ""

    @property
    def text(self) -> str:
        """The windows in a few words."""
        spell = format_duration
        if self.gap:
            return f"sessions {spell(self.gap / 1000)} apart"
        over = f" over {spell(self.over / 1000)}" if self.over != self.every else ""
        zone = f" in {self.zone}" if self.zone else ""
        return f"every {spell(self.every / 1000)}{over}{zone}"


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
        settings.zone or "",
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
            document.report_error(where, exc)
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
