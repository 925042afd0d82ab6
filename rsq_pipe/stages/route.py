"""route: each record to the port of the first case that fits."""

from __future__ import annotations

from collections.abc import Sequence

from rsq_pipe.errors import EvaluationError
from rsq_pipe.spec.graph import RouteCase
from rsq_pipe.stages.failed import expression_failure
from rsq_pipe.model.outcome import Emit, Failure, Outcome
from rsq_pipe.streams.message import StreamMessage


class Route:
    """
    Send each record to the first case whose expression is true.

    Args:
        stage: For messages.
        cases: In order; the last one is `otherwise`.
    """

    def __init__(self, stage: str, cases: Sequence[RouteCase]) -> None:
        self._stage = stage
        self._cases = tuple((case.to, case.when.evaluate if case.when else None) for case in cases)

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch on the event loop."""
        return [self._routed(message.data) for message in batch]

    async def close(self) -> None:
        """Nothing."""

    def _routed(self, record: dict[str, object]) -> Outcome:
        port = ""
        try:
            for port, evaluate in self._cases:
                if evaluate is None or evaluate(record):
                    return Emit(record, port)
        except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
            return expression_failure(exc, self._stage, f"route to {port!r}")
        error = EvaluationError(
            f"stage {self._stage!r}: no case of the route fits; add `otherwise: true`", stage=self._stage
        )
        return Failure(error, retryable=False)
