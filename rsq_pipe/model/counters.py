"""Counters: what is counted for every stage, and which counters say how many records it has finished."""

from __future__ import annotations

from collections.abc import Callable

COUNTED = ("in", "out", "dropped", "stored", "retried", "dead")
"""What settlements count for a stage, in fields `<stage>:in` ... of the pipeline's hash."""

ALL_COUNTED = (*COUNTED, "replayed", "purged")
"""The same, and what operators have done with its dead letters."""


def finished(counted: Callable[[str], int], *, is_source: bool) -> int:
    """
    Return how many records a stage has finished, however many attempts each took.

    Args:
        counted: Returns a counter of the stage.
        is_source: Whether it is a source: it has no entries to acknowledge, so what it brought is counted.
    """
    return counted("out") + counted("dead") if is_source else counted("in") - counted("retried")
