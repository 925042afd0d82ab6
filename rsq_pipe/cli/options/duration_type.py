"""DURATION: an option's value such as `10s`, in seconds."""

from __future__ import annotations

from typing import Any

import rich_click as click

from rsq_pipe.units import parse_duration


class DurationType(click.ParamType[float]):
    """Parse a duration as the spec does."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn text into seconds."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


DURATION = DurationType()
