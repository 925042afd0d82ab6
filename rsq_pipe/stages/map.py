"""map: fields replaced by the values of expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rsq_pipe.spec.expression import Expression
from rsq_pipe.stages.failed import expression_failure
from rsq_pipe.model.outcome import Failure, Outcome
from rsq_pipe.streams.message import StreamMessage


class Map:
    """
    Copy each record with some fields set; every expression sees the record as it came in.

    Args:
        stage: For messages.
        fields: Field -> expression; None removes the field.
    """

    def __init__(self, stage: str, fields: Mapping[str, Expression | None]) -> None:
        self._stage = stage
        self._set = tuple((name, field.evaluate) for name, field in fields.items() if field is not None)
        self._removed = tuple(name for name, field in fields.items() if field is None)

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch on the event loop: 200 records take well under a millisecond."""
        return [self._mapped(message.data) for message in batch]

    async def close(self) -> None:
        """Nothing."""

    def _mapped(self, record: dict[str, object]) -> dict[str, object] | Failure:
        name = ""
        try:
            mapped = record.copy()
            for name, evaluate in self._set:
                mapped[name] = evaluate(record)
        except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
            return expression_failure(exc, self._stage, f"map.{name}")
        for name in self._removed:
            mapped.pop(name, None)
        return mapped
