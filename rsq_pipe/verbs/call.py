"""call: a user's function, once per record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcome, Outcomes
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
        self._call = _async_call(at) if at.handler.is_async else _sync_call(at)
        self._call_with = _async_call_with(at) if at.handler.is_async else _sync_call_with(at)

    async def open(self) -> None:
        """Nothing: a thread is started with the first batch, resources are made when asked for."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch; sync handlers in a thread, async ones up to `concurrency` at once."""
        if self._at.handler.takes_context:
            results = await self._at.executor.each(self._call_with(batch), range(len(batch)))
        else:
            results = await self._at.executor.each(self._call, batch.records)
        return self._at.normaliser.outcomes(batch, results)

    async def close(self) -> None:
        """Close the handler's resources, and abandon what still runs."""
        await self._at.close()


# Each builds the shortest path for its kind of handler: these few lines are paid for every record.


def _sync_call(at: StageHandler) -> Callable[[Any], Outcome]:
    function, outcome, plain, validate = _parts(at)
    if validate is not None:
        return lambda record: outcome(function(validate(record)))

    def call(record: Any) -> Outcome:
        value = function(record)
        return value if type(value) is dict and plain else outcome(value)

    return call


def _async_call(at: StageHandler) -> Callable[[Any], Any]:
    function, outcome, plain, validate = _parts(at)

    async def call(record: Any) -> Outcome:
        value = await function(record if validate is None else validate(record))
        return value if type(value) is dict and plain else outcome(value)

    return call


def _sync_call_with(at: StageHandler) -> Callable[[Batch], Callable[[int], Outcome]]:
    """Call with the context too; which record it is, its place in the batch says."""
    function, outcome, plain, validate = _parts(at)
    context = at.context

    def calling(batch: Batch) -> Callable[[int], Outcome]:
        records = batch.records

        def call(place: int) -> Outcome:
            record = records[place] if validate is None else validate(records[place])
            value = function(record, Context(context, batch, place))
            return value if type(value) is dict and plain else outcome(value)

        return call

    return calling


def _async_call_with(at: StageHandler) -> Callable[[Batch], Callable[[int], Any]]:
    function, outcome, plain, validate = _parts(at)
    context = at.context

    def calling(batch: Batch) -> Callable[[int], Any]:
        records = batch.records

        async def call(place: int) -> Outcome:
            record = records[place] if validate is None else validate(records[place])
            value = await function(record, Context(context, batch, place))
            return value if type(value) is dict and plain else outcome(value)

        return call

    return calling


def _parts(
    at: StageHandler,
) -> tuple[Callable[..., Any], Callable[[Any], Outcome], bool, Callable[[Any], Any] | None]:
    return at.handler.function, at.contract.outcome, at.contract.plain, at.validate
