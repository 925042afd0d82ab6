"""Computed: the value for one record of a setting that is an expression."""

from __future__ import annotations

from typing import Any, Protocol

from rsq_pipe.errors import EncodeError


class Expression(Protocol):
    """A setting that is computed."""

    def evaluate(self, record: Any) -> Any:
        """Compute the value; may raise anything."""
        ...

    def why(self, error: Exception) -> str:
        """Describe why `evaluate` failed."""
        ...


def computed(setting: str, expression: Expression, record: Any) -> Any:
    """
    Compute a setting for a record.

    Args:
        setting: Its name, for the message.
        expression: The expression given for it.
        record: The record.

    Raises:
        EncodeError: The record lacks what the expression needs.
    """
    try:
        return expression.evaluate(record)
    except Exception as exc:  # noqa: BLE001  an expression may raise anything
        why = expression.why(exc)
        raise EncodeError(f"`{setting}` cannot be computed of this record: {why}", record) from None
