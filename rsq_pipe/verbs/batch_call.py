"""call with a batch handler: a user's function, called once per batch, and with halves of one that fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from rsq_pipe.errors import HandlerContractError, HandlerTimeoutError, RecordInvalidError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcome, Outcomes
from rsq_pipe.units import counted
from rsq_pipe.verbs.context import BatchContext
from rsq_pipe.verbs.failed import failure
from rsq_pipe.verbs.overruns import Overruns
from rsq_pipe.verbs.stage_handler import StageHandler


class BatchCall:
    """
    Call a handler with all records of a batch.

    If it raises, it is called again with each half, until only the bad records are left: at most
    2 * bad * log2(records) + 1 calls. So the handler may see a record several times.

    Args:
        at: The handler in its stage.
        decode: Decodes the bytes that `Batch.original` returns into a record. Without it, or if the batch has
            no bytes, the records are copied in another form during the call.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = None

    def __init__(self, at: StageHandler, decode: Callable[[bytes], Any] | None = None) -> None:
        self._at = at
        self._decode = decode
        self._call = self._async_call if at.handler.is_async else self._sync_call

    @property
    def waits(self) -> Overruns:
        """The calls that passed their time limit."""
        return self._at.executor.overruns

    async def open(self) -> None:
        """Do nothing: a thread is started with the first batch, resources are made on demand."""

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch; records that do not match the annotation fail before the call."""
        if not len(batch):
            return Outcomes()
        results = list(batch.records)
        places: Sequence[int] = range(len(batch))
        if self._at.validate is not None:
            results = [self._validated(record, self._at.validate) for record in results]
            places = [place for place in places if type(results[place]) is not Failure]
        if len(places) == len(batch):
            results = await self._bisection(batch, places).run(results)
        elif places:
            valid = await self._bisection(batch, places).run([results[place] for place in places])
            for place, result in zip(places, valid, strict=True):
                results[place] = result
        return self._at.normaliser.outcomes(batch, results)

    async def close(self) -> None:
        """Close the handler's resources, and abandon what is still running."""
        await self._at.close()

    def _bisection(self, batch: Batch, places: Sequence[int]) -> _Bisection:
        return _Bisection(self._at, self._call, batch, places, _originals(batch, places, self._decode))

    def _validated(self, record: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(record)
        except RecordInvalidError as exc:
            return failure(exc)

    def _sync_call(self, part: _Part) -> list[Outcome]:
        return self._outcomes(self._at.handler.function(*self._arguments(part)), len(part[2]))

    async def _async_call(self, part: _Part) -> list[Outcome]:
        return self._outcomes(await self._at.handler.function(*self._arguments(part)), len(part[2]))

    def _arguments(self, part: _Part) -> tuple[Any, ...]:
        records, batch, places = part
        if self._at.handler.takes_context:
            return records, BatchContext(self._at.context, batch, places)
        return (records,)

    def _outcomes(self, returned: Any, count: int) -> list[Outcome]:
        contract = self._at.contract
        if not isinstance(returned, list):
            raise contract.error(f"returned {type(returned).__name__}; a batch handler returns a list")
        if len(returned) != count:
            raise contract.error(
                f"returned {counted(len(returned), 'outcome')} for {counted(count, 'record')}; "
                "return one for each, in order: None drops a record, a list splits it"
            )
        plain = contract.plain
        return [value if type(value) is dict and plain else self._outcome(value) for value in returned]

    def _outcome(self, value: Any) -> Outcome:
        try:
            return self._at.contract.outcome(value)
        except HandlerContractError as exc:
            return failure(exc)


_Part = tuple[list[Any], Batch, Sequence[int]]


class _Bisection:
    """
    Hold the progress of some records of a batch through a handler that may raise.

    Args:
        at: The handler in its stage.
        call: Calls it.
        batch: The batch.
        places: The places of its records that the handler gets.
        originals: Restores the records in a range of these, as they came in.
    """

    def __init__(
        self,
        at: StageHandler,
        call: Callable[[_Part], Any],
        batch: Batch,
        places: Sequence[int],
        originals: Callable[[int, int], list[Any]],
    ) -> None:
        self._at = at
        self._call = call
        self._batch = batch
        self._places = places
        self._originals = originals
        # Enough to find one record that hangs; without this bound, a service that is down would hold
        # the stage for 2 * records * timeout.
        self._timeouts_left = len(places).bit_length() + 1

    async def run(self, records: list[Any]) -> list[Outcome]:
        return await self._handle(records, 0, len(records))

    async def _handle(self, records: list[Any], start: int, end: int) -> list[Outcome]:
        part = records, self._batch, self._places[start:end]
        [result] = await self._at.executor.each(self._call, [part])
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
        originals = self._originals(start, end)
        return originals if self._at.validate is None else [self._at.validate(record) for record in originals]


def _originals(
    batch: Batch, places: Sequence[int], decode: Callable[[bytes], Any] | None
) -> Callable[[int, int], list[Any]]:
    """
    Return the function that restores records as they came in.

    A handler that changed its records before it raised must not get the changed ones: a price would be
    doubled twice. If the batch has their bytes, this costs nothing in advance; otherwise they are pickled, at
    half a microsecond a record, and unpickled only if needed.
    """
    if len(places) == 1:
        return lambda _start, _end: []  # one record is not tried again
    if decode is not None and batch.knows_bytes:
        return lambda start, end: [decode(batch.original(place)) for place in places[start:end]]
    pickled = pickle.dumps([batch.records[place] for place in places])
    return lambda start, end: list(pickle.loads(pickled)[start:end])  # noqa: S301 - our own bytes
