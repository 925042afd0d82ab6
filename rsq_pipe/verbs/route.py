"""route: sends each record to the port of the first case that matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rsq_pipe.errors import EvaluationError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.graph import RouteCase
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.passing import passed
from rsq_pipe.verbs.surroundings import surrounded
from rsq_pipe.verbs.verb import PlainVerb


class Route(PlainVerb):
    """
    Send each record to the first case whose expression is true.

    Args:
        stage: For messages.
        cases: In order; the last one is `otherwise`.
    """

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, cases: Sequence[RouteCase]) -> None:
        self._stage = stage
        self._has_surroundings = any(
            case.when is not None and (case.when.timed or case.when.headed) for case in cases
        )
        self._cases = tuple((case.to, case.when.evaluate if case.when else None) for case in cases)

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        places: dict[str, list[int]] = {port: [] for port, _ in self._cases}
        cases = [(port, evaluate, places[port].append) for port, evaluate in self._cases]
        failed: dict[int, Failure | Retry | Reject] = {}
        port = ""
        for place, record in enumerate(surrounded(batch) if self._has_surroundings else batch.records):
            try:
                for port, evaluate, take in cases:  # noqa: B007 - named where one raises
                    if evaluate is None or evaluate(record):
                        take(place)
                        break
                else:
                    failed[place] = self._unrouted()
            except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
                failed[place] = expression_failure(exc, self._stage, f"route to {port!r}")
        emitted = {port: passed(batch, found) for port, found in places.items() if found}
        return Outcomes(emitted, failed=failed)

    def _unrouted(self) -> Failure:
        error = EvaluationError(
            f"stage {self._stage!r}: no case of the route fits; add `otherwise: true`", stage=self._stage
        )
        return Failure(error, retryable=False)
