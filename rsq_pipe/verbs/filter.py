"""filter: passes on records for which an expression is true."""

from __future__ import annotations

from typing import ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.surroundings import surrounded
from rsq_pipe.verbs.verb import PlainVerb

_REASON = "filter"


class Filter(PlainVerb):
    """
    Pass on the records for which the expression is true; drop and count the others.

    Args:
        stage: For messages.
        condition: The expression.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, condition: Expression) -> None:
        self._stage = stage
        self._evaluate = condition.evaluate
        self._has_surroundings = condition.timed or condition.headed

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        evaluate = self._evaluate
        kept: list[int] = []
        dropped: list[int] = []
        keep, drop = kept.append, dropped.append
        failed: dict[int, Failure | Retry | Reject] = {}
        for place, record in enumerate(surrounded(batch) if self._has_surroundings else batch.records):
            try:
                if evaluate(record):
                    keep(place)
                else:
                    drop(place)
            except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
                failed[place] = expression_failure(exc, self._stage, "filter")
        return Outcomes(
            {"": passed(batch, kept)} if kept else {}, {_REASON: dropped} if dropped else {}, failed
        )
