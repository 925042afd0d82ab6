"""filter: records for which an expression is true."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.spec.expression import Expression
from rsq_pipe.stages.failed import expression_failure
from rsq_pipe.model.outcome import Drop, Outcome
from rsq_pipe.streams.message import StreamMessage

_DROPPED = Drop("filter")


class Filter:
    """
    Pass on the records for which the expression is true; drop and count the others.

    Args:
        stage: For messages.
        condition: The expression.
    """

    def __init__(self, stage: str, condition: Expression) -> None:
        self._stage = stage
        self._evaluate = condition.evaluate

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch on the event loop."""
        return [self._filtered(message.data) for message in batch]

    async def close(self) -> None:
        """Nothing."""

    def _filtered(self, record: dict[str, object]) -> Outcome:
        try:
            return record if self._evaluate(record) else _DROPPED
        except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
            return expression_failure(exc, self._stage, "filter")
