"""Counters: the counts of every stage, and which of them show how many records it has finished."""

from __future__ import annotations

from collections.abc import Callable

COUNTED = ("in", "out", "dropped", "stored", "retried", "dead")
"""The counters that settlements update for a stage, in fields `<stage>:in` ... of the pipeline's hash."""

ALL_COUNTED = (*COUNTED, "replayed", "purged")
"""All counters, including those of operations on dead letters."""


def finished(counted: Callable[[str], int], *, is_source: bool) -> int:
    """
    Return how many records a stage has finished, however many attempts each took.

    Args:
        counted: Returns a counter of the stage.
        is_source: Whether it is a source: it has no entries to acknowledge, so the records it read are
            counted.
    """
    return counted("out") + counted("dead") if is_source else counted("in") - counted("retried")
