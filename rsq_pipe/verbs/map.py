"""map: sets fields to the values of expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.passing import remade
from rsq_pipe.verbs.surroundings import surrounded
from rsq_pipe.verbs.verb import PlainVerb


class Map(PlainVerb):
    """
    Copy each record with some fields set; every expression sees the record as it came in.

    Args:
        stage: For messages.
        fields: Field -> expression; None removes the field.
    """

    pure: ClassVar[bool] = True

    def __init__(self, stage: str, fields: Mapping[str, Expression | None]) -> None:
        self._stage = stage
        self._set = tuple((name, field.evaluate) for name, field in fields.items() if field is not None)
        self._removed = tuple(name for name, field in fields.items() if field is None)
        self._has_surroundings = any(
            field is not None and (field.timed or field.headed) for field in fields.values()
        )
        self.changed = frozenset(fields)

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop: 200 records take well under a millisecond."""
        to_set, to_remove = self._set, self._removed
        mapped: list[Any] = []
        add = mapped.append
        failed: dict[int, Failure | Retry | Reject] = {}
        name = ""
        for place, record in enumerate(surrounded(batch) if self._has_surroundings else batch.records):
            try:
                copy = record.copy()
                for name, evaluate in to_set:
                    copy[name] = evaluate(record)
                for name in to_remove:
                    copy.pop(name, None)
            except Exception as exc:  # noqa: BLE001 - an expression can raise whatever Python can
                failed[place] = expression_failure(exc, self._stage, f"map.{name}")
            else:
                add(copy)
        return remade(batch, mapped, failed)
