"""call: a user's function, once per record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.verbs.context import Context
from rsq_pipe.verbs.overruns import Overruns
from rsq_pipe.verbs.stage_handler import StageHandler


class Call:
    """
    Call a handler for each record separately: a record whose call raises fails alone.

    Args:
        at: The handler in its stage.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = None

    def __init__(self, at: StageHandler) -> None:
        self._at = at
        # The handler itself if possible: any wrapper would cost time for every record. The result of an async
        # one is awaited by its executor.
        function, validate = at.handler.function, at.validate
        self._call = function if validate is None else lambda record: function(validate(record))

    @property
    def waits(self) -> Overruns:
        """The calls that passed their time limit."""
        return self._at.executor.overruns

    async def open(self) -> None:
        """Do nothing: a thread is started with the first batch, resources are made on demand."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch; sync handlers in a thread, async ones up to `concurrency` at once."""
        at = self._at
        if at.handler.takes_context:
            results = await at.executor.each(self._with_context(batch), range(len(batch)), at.contract)
        else:
            results = await at.executor.each(self._call, batch.records, at.contract)
        return at.normaliser.outcomes(batch, results)

    def skip_rest(self) -> None:
        """Make no more calls for the batch in progress."""
        self._at.executor.skip_rest()

    async def close(self) -> None:
        """Close the handler's resources, and abandon what is still running."""
        await self._at.close()

    def _with_context(self, batch: Batch) -> Callable[[int], Any]:
        """Call the handler with its context too; the place in the batch determines the record."""
        function, validate, context = self._at.handler.function, self._at.validate, self._at.context
        records = batch.records

        def call(place: int) -> Any:
            record = records[place] if validate is None else validate(records[place])
            return function(record, Context(context, batch, place))

        return call
