"""call: a user's function, once per record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rsq_pipe.stages.context import Context
from rsq_pipe.model.outcome import Outcome
from rsq_pipe.stages.stage_handler import StageHandler
from rsq_pipe.streams.message import StreamMessage


class Call:
    """
    Call a handler for each record by itself: one that raises fails alone.

    Args:
        at: The handler in its stage.
    """

    def __init__(self, at: StageHandler) -> None:
        self._at = at
        self._call = _async_call(at) if at.handler.is_async else _sync_call(at)

    async def open(self) -> None:
        """Nothing: a thread is started with the first batch, resources are made when asked for."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch; sync handlers in a thread, async ones up to `concurrency` at once."""
        return await self._at.lane.each(self._call, batch)

    async def close(self) -> None:
        """Close the handler's resources, and abandon what still runs."""
        await self._at.close()


# Each builds the shortest path for its kind of handler: these few lines are paid for every record.


def _sync_call(at: StageHandler) -> Callable[[StreamMessage], Outcome]:
    function, outcome, plain = at.handler.function, at.contract.outcome, at.contract.plain
    arguments = _arguments(at)
    if arguments is not None:
        return lambda message: outcome(function(*arguments(message)))

    def call(message: StreamMessage) -> Outcome:
        value = function(message.data)
        return value if type(value) is dict and plain else outcome(value)

    return call


def _async_call(at: StageHandler) -> Callable[[StreamMessage], Any]:
    function, outcome = at.handler.function, at.contract.outcome
    arguments = _arguments(at)

    async def call(message: StreamMessage) -> Outcome:
        return outcome(await function(message.data))

    async def call_with(message: StreamMessage) -> Outcome:
        assert arguments is not None
        return outcome(await function(*arguments(message)))

    return call if arguments is None else call_with


def _arguments(at: StageHandler) -> Callable[[StreamMessage], tuple[Any, ...]] | None:
    """Make what the function is called with; None if that is the record alone, as it is."""
    validate, context = at.validate, at.context
    if at.handler.takes_context and validate is not None:
        return lambda message: (validate(message.data), Context(context, message))
    if at.handler.takes_context:
        return lambda message: (message.data, Context(context, message))
    if validate is not None:
        return lambda message: (validate(message.data),)
    return None
