"""Dead letter types: the values of options: a dead letter, a time, a condition, a rate, a field to set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

import rich_click as click

from rsq_pipe.errors import ExpressionError
from rsq_pipe.ops.dead_letters.edits import read_value
from rsq_pipe.ops.dead_letters.selection import DeadLetterName, parse_name
from rsq_pipe.spec.expressions.expression import Expression, compile_expression
from rsq_pipe.spec.expressions.field_path import parse_path
from rsq_pipe.units import LONGEST, parse_duration, parse_rate


class Since(NamedTuple):
    """Hold an age in seconds, or a time in seconds of Unix time."""

    age: float | None = None
    moment: float | None = None


class DeadLetterNameType(click.ParamType[DeadLetterName]):
    """Parse `validate/1700000000000-0` or `1700000000000-0`."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> DeadLetterName:
        """Turn text into a name."""
        found = value if isinstance(value, DeadLetterName) else parse_name(value)
        if found is None:
            fix = "`dlq list` prints them, such as validate/1700000000000-0"
            if ":" in value:  # as record ids have
                fix += f"; to choose by record id: --where \"dlq['rid'] == '{value}'\""
            self.fail(f"{value!r} is not an entry id; {fix}", param, ctx)
        return found


class SinceType(click.ParamType[Since]):
    """Parse an age or a time."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Since:
        """Turn `1h`, `2026-11-23` or `2026-11-23T08:00` into either; without an offset it is UTC."""
        if isinstance(value, Since):
            return value
        try:
            return Since(age=min(parse_duration(value), LONGEST))
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            what = "neither a duration such as 1h nor a date and time such as 2026-11-23T08:00"
            self.fail(f"{value!r} is {what}", param, ctx)
        return Since(moment=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


class WhereType(click.ParamType[Expression]):
    """Compile a condition."""

    name = "expression"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Expression:
        """Turn text into an expression."""
        try:
            return value if isinstance(value, Expression) else compile_expression(value)
        except ExpressionError as exc:
            self.fail(str(exc), param, ctx)


class RateType(click.ParamType[float]):
    """Parse a rate."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn `100/s` into a number per second."""
        try:
            rate = value if isinstance(value, float) else parse_rate(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        if rate <= 0:
            self.fail("a rate is more than nothing", param, ctx)
        return rate


class FieldType(click.ParamType[tuple[str, Any]]):
    """Parse `field=value`."""

    name = "field=value"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """Turn text into a field's name and its value: JSON if it is JSON, otherwise text."""
        if isinstance(value, tuple):
            return value
        field, equals, text = value.partition("=")
        if not field or not equals:
            self.fail(f"{value!r} sets nothing; write field=value, such as country=DE", param, ctx)
        try:
            parse_path(field)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)
        return field, read_value(text)
