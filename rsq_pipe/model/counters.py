"""Counters: what is counted of every stage, and what of it tells how many records it has done with."""

from __future__ import annotations

from collections.abc import Callable

COUNTED = ("in", "out", "dropped", "stored", "retried", "dead")
"""What settlements count of a stage, in fields `<stage>:in` ... of the pipeline's hash."""

ALL_COUNTED = (*COUNTED, "replayed", "purged")
"""The same, and what operators have done with its dead letters."""


def finished(counted: Callable[[str], int], *, is_source: bool) -> int:
    """
    Tell how many records a stage has done with, however many attempts each took.

    Args:
        counted: Tells a counter of the stage.
        is_source: Whether it is a source: that has no entries to acknowledge, and what it brought is counted.
    """
    return counted("out") + counted("dead") if is_source else counted("in") - counted("retried")
