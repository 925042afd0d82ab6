"""HttpSender: sends the records of a batch, and returns the outcome of each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import ClassVar

from rsq_pipe.connectors.http.options import SendSettings
from rsq_pipe.connectors.http.post import Post
from rsq_pipe.connectors.jsonl.json_lines import json_rows
from rsq_pipe.errors import (
    EndpointError,
    EndpointUnavailableError,
    RsqPipeError,
    without_frames,
)
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import NOT_CALLED, Failure, Outcomes

SILENT = 5
"""After this many requests in a row without a good answer, the rest of the batch is not sent."""


class HttpSender:
    """
    Send records.

    Args:
        options: The service, and the form of requests.
        stage: The stage, for messages.
        timeout: Maximum seconds for one request.

    Delivery: at least once; a request that is sent again has the same key.
    """

    pure: ClassVar[bool] = False
    changed: ClassVar[frozenset[str] | None] = frozenset()

    def __init__(self, options: SendSettings, *, stage: str, timeout: float) -> None:
        self._options = options
        self._post = Post(options, stage=stage, timeout=timeout)
        self.waits = self._post.waits
        """The requests that have no answer yet."""
        self._sending: _Sending | None = None

    async def open(self) -> None:
        """Do nothing: the first request connects."""

    async def process(self, batch: Batch) -> Outcomes:
        """
        Send one batch.

        Raises:
            EndpointRefusedError: The service refuses every request: the stage cannot continue.
        """
        sending = _Sending(self._options, self._post, batch)
        self._sending = sending
        try:
            await sending.run()
        finally:
            self._sending = None
        return sending.outcomes()

    def skip_rest(self) -> None:
        """Begin no more requests for the batch in progress."""
        if self._sending is not None:
            self._sending.skip_rest()

    async def close(self) -> None:
        """Close the connections."""
        await self._post.close()


class _Sending:
    """The requests of one batch."""

    def __init__(self, options: SendSettings, post: Post, batch: Batch) -> None:
        self._options = options
        self._post = post
        self._batch = batch
        self._rows, unwritable = json_rows(batch, rid=options.rid)
        self._failed: dict[int, Failure] = {
            place: Failure(error, retryable=False) for place, error in unwritable.items()
        }
        self._waiting: Iterator[list[int]] = iter(list(self._requests()))
        self._stopped: RsqPipeError | None = None  # why no more requests are sent
        self._silent = 0

    async def run(self) -> None:
        """Send everything; after a request that shows that the service is unreachable, begin no new one."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._options.concurrency, len(self._rows))):
                    group.create_task(self._work())
        except BaseExceptionGroup as found:
            refused: BaseException = found
            while isinstance(refused, BaseExceptionGroup):
                refused = refused.exceptions[0]
            raise refused from None

    def skip_rest(self) -> None:
        """Leave out the records of the requests that have not begun."""
        for places in self._waiting:
            self._failed |= dict.fromkeys(places, NOT_CALLED)

    def outcomes(self) -> Outcomes:
        """Return the outcomes of the records."""
        done = [place for place in range(len(self._batch)) if place not in self._failed]
        return Outcomes(failed=dict(sorted(self._failed.items())), done=done)

    def _requests(self) -> Iterator[list[int]]:
        """Yield the places of the records of each request."""
        if self._options.body == "record":
            yield from ([place] for place in self._rows)
            return
        together: list[int] = []
        size = 2
        for place, row in self._rows.items():
            if together and size + len(row) + 1 > self._options.max_body:
                yield together
                together, size = [], 2
            together.append(place)
            size += len(row) + 1
        if together:
            yield together

    async def _work(self) -> None:
        for places in self._waiting:
            await self._send(places)

    async def _send(self, places: list[int]) -> None:
        """Send some records; if a batch is refused, send each half again, down to one record."""
        if self._stopped is not None:
            self._fail(places, self._unsent(self._stopped))
            return
        try:
            answered = await self._answered(places)
        except EndpointUnavailableError as exc:
            if self._ends(exc, len(places)) or exc.certain or len(places) == 1:
                self._fail(places, exc)
                return
            # One record may be the reason why none of them got a good answer.
        else:
            self._silent = 0
            if answered is None:
                return
            if len(places) == 1:
                self._fail(places, answered)
                return
        half = len(places) // 2
        await self._send(places[:half])
        await self._send(places[half:])

    async def _answered(self, places: list[int]) -> EndpointError | None:
        number, answered = self._post.waits.begin(), False
        try:
            found = await self._post.send(self._batch, places, [self._rows[place] for place in places])
            answered = True
            return found
        finally:
            self._post.waits.end(number, answered=answered)

    def _ends(self, exc: EndpointUnavailableError, records: int) -> bool:
        """Count a request without a good answer; return whether no other is sent after it."""
        # The halves of a batch fail on the way to the one bad record: they do not count.
        self._silent += records == 1 or exc.certain
        if exc.away or (exc.certain and not exc.partly) or self._silent >= SILENT:
            self._stopped = exc
            return True
        return False

    def _unsent(self, why: RsqPipeError) -> EndpointUnavailableError:
        wait = why.retry_after if isinstance(why, EndpointUnavailableError) else 0.0
        return EndpointUnavailableError(str(why), stage=self._post.stage, certain=True, retry_after=wait)

    def _fail(self, places: Iterable[int], error: EndpointError | EndpointUnavailableError) -> None:
        retryable = isinstance(error, EndpointUnavailableError)
        failure = Failure(without_frames(error), retryable=retryable)
        self._failed |= dict.fromkeys(places, failure)
