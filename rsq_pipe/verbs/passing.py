"""pass: records unchanged."""

from __future__ import annotations

from typing import ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.verbs.passed import passed


class Pass:
    """Hand each record on as it is."""

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str] | None] = frozenset()

    async def open(self) -> None:
        """Nothing."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch."""
        return Outcomes({"": passed(batch)} if len(batch) else {})

    async def close(self) -> None:
        """Nothing."""
