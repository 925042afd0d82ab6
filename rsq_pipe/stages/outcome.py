"""Outcomes: what a handler wishes for a record, as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Emit:
    """
    Send a record on.

    Args:
        record: The record to send.
        to: The port to send it through; empty for the stage's one output.
        headers: Headers to add to those of the input record.
    """

    record: dict[str, Any]
    to: str = ""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """Finish the record without output, and count it."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """
    Handle the record again later, as long as the stage's `attempts` allow.

    Args:
        after: Seconds to wait, or a duration such as "30s"; None for the stage's backoff.
        reason: Why, for the log and the dead letter.
    """

    after: float | str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Send the record to the dead-letter queue at once, without another attempt."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """
    State that handling the record failed; the stage retries, dead-letters or drops it.

    Args:
        error: What was raised, or a HandlerTimeoutError / HandlerContractError.
        retryable: False sends it to the dead-letter queue without another attempt: the same input
            can only fail the same way (a broken contract, a record that is not what the handler's
            annotation asks for).
    """

    error: BaseException
    retryable: bool = True


# What a verb returns for each record. A bare dict means Emit(dict), None means Drop, a list a split
# into children; they are not wrapped, because most records of most stages are one bare dict.
Outcome: TypeAlias = (
    dict[str, Any] | Sequence["dict[str, Any] | Emit"] | Emit | Drop | Retry | Reject | Failure | None
)
