"""call: a user's function, once per record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.verbs.context import Context
from rsq_pipe.verbs.stage_handler import StageHandler


class Call:
    """
    Call a handler for each record by itself: one that raises fails alone.

    Args:
        at: The handler in its stage.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = None

    def __init__(self, at: StageHandler) -> None:
        self._at = at
        # The handler itself where that will do: whatever stands in between is paid for every record. What an
        # async one returns is awaited by its executor.
        function, validate = at.handler.function, at.validate
        self._call = function if validate is None else lambda record: function(validate(record))

    async def open(self) -> None:
        """Nothing: a thread is started with the first batch, resources are made when asked for."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch; sync handlers in a thread, async ones up to `concurrency` at once."""
        at = self._at
        if at.handler.takes_context:
            results = await at.executor.each(self._with_context(batch), range(len(batch)), at.contract)
        else:
            results = await at.executor.each(self._call, batch.records, at.contract)
        return at.normaliser.outcomes(batch, results)

    async def close(self) -> None:
        """Close the handler's resources, and abandon what still runs."""
        await self._at.close()

    def _with_context(self, batch: Batch) -> Callable[[int], Any]:
        """Call with the context too; which record it is, its place in the batch says."""
        function, validate, context = self._at.handler.function, self._at.validate, self._at.context
        records = batch.records

        def call(place: int) -> Any:
            record = records[place] if validate is None else validate(records[place])
            return function(record, Context(context, batch, place))

        return call
