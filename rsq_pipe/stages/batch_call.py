"""call with a batch handler: a user's function, once per batch, and again for halves of one that fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

from rsq_pipe.errors import HandlerContractError, HandlerTimeoutError, RecordInvalidError
from rsq_pipe.stages.context import BatchContext
from rsq_pipe.stages.failed import failure
from rsq_pipe.model.outcome import Failure, Outcome
from rsq_pipe.stages.stage_handler import StageHandler
from rsq_pipe.streams.message import StreamMessage


class BatchCall:
    """
    Call a handler with all records of a batch.

    If it raises, it is called again with each half, until only the bad records are left: at most
    2 * bad * log2(records) + 1 calls. So the handler may see a record several times.

    Args:
        at: The handler in its stage.
    """

    def __init__(self, at: StageHandler) -> None:
        self._at = at
        self._call = self._async_call if at.handler.is_async else self._sync_call

    async def open(self) -> None:
        """Nothing: a thread is started with the first batch, resources are made when asked for."""

    async def process(self, batch: Sequence[StreamMessage]) -> Sequence[Outcome]:
        """Handle one batch; records that are not what the annotation asks for fail before the call."""
        outcomes: list[Any] = [self._validated(message) for message in batch]
        valid = [place for place, record in enumerate(outcomes) if type(record) is not Failure]
        if valid:
            messages = [batch[place] for place in valid]
            bisection = _Bisection(self._at, self._call, messages)
            results = await bisection.run([outcomes[place] for place in valid])
            for place, result in zip(valid, results, strict=True):
                outcomes[place] = result
        return outcomes

    async def close(self) -> None:
        """Close the handler's resources, and abandon what still runs."""
        await self._at.close()

    def _validated(self, message: StreamMessage) -> Any:
        if self._at.validate is None:
            return message.data
        try:
            return self._at.validate(message.data)
        except RecordInvalidError as exc:
            return failure(exc)

    def _sync_call(self, part: _Part) -> list[Outcome]:
        return self._outcomes(self._at.handler.function(*self._arguments(part)), len(part[0]))

    async def _async_call(self, part: _Part) -> list[Outcome]:
        return self._outcomes(await self._at.handler.function(*self._arguments(part)), len(part[0]))

    def _arguments(self, part: _Part) -> tuple[Any, ...]:
        records, messages = part
        return (
            (records, BatchContext(self._at.context, messages))
            if self._at.handler.takes_context
            else (records,)
        )

    def _outcomes(self, returned: Any, count: int) -> list[Outcome]:
        contract = self._at.contract
        if not isinstance(returned, list):
            raise contract.error(f"returned {type(returned).__name__}; a batch handler returns a list")
        if len(returned) != count:
            raise contract.error(
                f"returned {len(returned)} outcomes for {count} records; return one for each, in order: "
                "None drops a record, a list splits it"
            )
        return [self._outcome(value) for value in returned]

    def _outcome(self, value: Any) -> Outcome:
        try:
            return self._at.contract.outcome(value)
        except HandlerContractError as exc:
            return failure(exc)


_Part = tuple[list[Any], Sequence[StreamMessage]]


class _Bisection:
    """One batch on its way through a handler that may raise."""

    def __init__(
        self, at: StageHandler, call: Callable[[_Part], Any], messages: Sequence[StreamMessage]
    ) -> None:
        self._at = at
        self._call = call
        self._messages = messages
        # A handler that changed its records before it raised must not see them changed: a price would
        # be doubled twice. Pickling costs half a microsecond per record, and is unpickled only if need be.
        self._originals = pickle.dumps([message.data for message in messages]) if len(messages) > 1 else b""
        # Enough to find one record that hangs; were there no bound, a service that is down would hold
        # the stage for 2 * records * timeout.
        self._timeouts_left = len(messages).bit_length() + 1

    async def run(self, records: list[Any]) -> list[Outcome]:
        return await self._handle(records, 0, len(records))

    async def _handle(self, records: list[Any], start: int, end: int) -> list[Outcome]:
        [result] = await self._at.lane.each(self._call, [(records, self._messages[start:end])])
        if not isinstance(result, Failure):
            return list(result)
        if end - start == 1 or not result.retryable or self._out_of_time(result):
            return [result] * (end - start)
        middle = (start + end) // 2
        left = await self._handle(self._fresh(start, middle), start, middle)
        return left + await self._handle(self._fresh(middle, end), middle, end)

    def _out_of_time(self, result: Failure) -> bool:
        if isinstance(result.error, HandlerTimeoutError):
            self._timeouts_left -= 1
        return self._timeouts_left <= 0

    def _fresh(self, start: int, end: int) -> list[Any]:
        originals = pickle.loads(self._originals)[start:end]  # noqa: S301 - our own bytes
        return originals if self._at.validate is None else [self._at.validate(record) for record in originals]
