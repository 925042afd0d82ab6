"""Tally: the counts of tracing, apart from spans."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


def _forget(seconds: float, stage: object) -> None:
    """Do nothing."""


class Tally(Struct):
    """
    Count for tracing.

    Args:
        broken: Records that came with a malformed `traceparent`.
        latency: Called with the seconds a traced record took from its source to a sink, and the sink's name.
    """

    broken: int = 0
    latency: Callable[[float, object], None] = _forget
