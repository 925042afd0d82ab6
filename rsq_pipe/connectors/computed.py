"""Computed: what a setting that is an expression comes to for one record."""

from __future__ import annotations

from typing import Any, Protocol

from rsq_pipe.error_text import told
from rsq_pipe.errors import EncodeError, RsqPipeError


class Expression(Protocol):
    """A setting that is computed."""

    def evaluate(self, record: Any) -> Any:
        """Compute it; may raise anything."""
        ...


def computed(setting: str, expression: Expression, record: Any) -> Any:
    """
    Compute a setting for a record.

    Args:
        setting: Its name, for the message.
        expression: What it is given as.
        record: The record.

    Raises:
        EncodeError: The record does not have what the expression needs.
    """
    try:
        return expression.evaluate(record)
    except Exception as exc:  # noqa: BLE001  an expression may raise anything
        # Our own errors are sentences; of the others the type is half of what they say.
        why = str(exc) if isinstance(exc, RsqPipeError) else told(exc)
        raise EncodeError(f"`{setting}` cannot be computed of this record: {why}", record) from None
