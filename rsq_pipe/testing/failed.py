"""Failed records as tests see them; plain tuples, so that they compare with what a test writes down."""

from __future__ import annotations

from typing import Any, NamedTuple


class Dead(NamedTuple):
    """
    Hold one dead letter.

    Args:
        record: The record as the stage got it.
        reason: A word for the cause: `handler_error`, `rejected`, `timeout` ...
        error: What `rsq-pipe dlq show` prints: `ValueError: order 3 has no lines`.
    """

    record: dict[str, Any]
    reason: str
    error: str


class Retried(NamedTuple):
    """
    Hold one record that is to be handled again.

    Args:
        record: The record as the stage got it.
        error: Why: what was raised, or what the handler gave as the reason.
        delay: Seconds it would wait, without the backoff's jitter.
    """

    record: dict[str, Any]
    error: str
    delay: float
