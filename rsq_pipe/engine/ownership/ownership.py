"""Ownership: does work while a lease is held, and stands by while another process holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from rsq_pipe.engine.ownership.free_lease import FreeLease
from rsq_pipe.engine.ownership.stand_by import StandBy
from rsq_pipe.errors import RsqPipeError, StreamError
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.lease import Lease
from rsq_pipe.streams.waiting import until

SECONDS = 10.0
"""Seconds that a lease lasts after the last sign of life of its holder."""


class Superseded(Exception):  # noqa: N818  not an error: the work goes on, elsewhere
    """Raised by work that another process has taken over: the lease was lost while this one was paused."""


class Ownership:
    """
    Hold a lease while some work runs.

    Args:
        lease: The lease, or the leases of which one is held; renewed four times as often as necessary.
        stand_by: Waits while another process holds it.
        what: What the lease is for, for the log.
        stopping: Ends the standby; the work must watch it itself.
        late: Seconds to wait before the first attempt, so that another process can be first.
    """

    def __init__(
        self,
        lease: Lease | FreeLease,
        stand_by: StandBy,
        what: str,
        stopping: asyncio.Event,
        *,
        late: float = 0.0,
    ) -> None:
        self._lease = lease
        self._stand_by = stand_by
        self._what = what
        self._stopping = stopping
        self._late = late
        self._leaves = False  # whether the lease is left to expire
        self._log = structlog.get_logger("rsq_pipe")

    async def hold(self, work: Callable[[int], Awaitable[None]]) -> None:
        """
        Take the lease, call `work(epoch)` and release the lease; stand by first if another process has it.

        If the lease is lost during the work, the work is cancelled (or notices first, and raises Superseded),
        and the standby begins again. Returns when the work has returned, or when `stopping` is set before
        the work began.
        """
        if self._late:
            await until(self._stopping, self._late)
        while await self._taken():
            epoch = self._lease.epoch
            task = asyncio.ensure_future(work(epoch))
            try:
                held = await self._renew_beside(task, epoch)
            except BaseException:
                await self._end(task)
                await self._drop()
                raise
            await self._end(task)
            if held and not isinstance(task.exception(), Superseded):
                # Even if the work failed: another process may succeed.
                await self._drop()
                task.result()
                return
            if not held:
                self._log_failure(task)
            if not held and self._lease.is_held:  # the attempt to renew it took it again
                self._log.warning(
                    f"{self._what}: its lease lapsed while the server or this process was paused"
                )
            else:
                # If this process still holds the lease, the epoch that came with it was too low.
                await self._drop()
                self._log.warning(f"{self._what}: another process took over")

    def leave(self) -> None:
        """Let the lease expire when the work ends, so that no other process begins the work at once."""
        self._leaves = True

    async def _end(self, task: asyncio.Future[None]) -> None:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])

    def _log_failure(self, task: asyncio.Future[None]) -> None:
        """Log an error of work that had lost its lease: it is the successor's now, who may not meet it."""
        exc = None if task.cancelled() else task.exception()
        if exc is not None and not isinstance(exc, Superseded):
            why = f"{self._what}: ended with an error as another process took over"
            self._log.warning(why, error=str(exc), exc_info=None if isinstance(exc, RsqPipeError) else exc)

    async def _taken(self) -> bool:
        # What a supervisor has meant for another of its processes is normally held by that one.
        backoff, is_logged = Backoff(self._what), self._late > 0
        while not self._stopping.is_set():
            try:
                if await self._lease.take():
                    return True
            except StreamError as exc:
                if not exc.retryable:
                    raise
                await backoff.wait(exc, self._stopping)
                continue
            if not is_logged:
                is_logged = True
                # Of a machine that is gone it lapses by itself, `SECONDS` after its last sign of life.
                self._log.info(
                    f"{self._what}: another process does this; standing by", holder=self._lease.holder
                )
            await self._stand_by.until_free(self._lease.keys, self._stopping)
        return False

    async def _renew_beside(self, task: asyncio.Future[None], epoch: int) -> bool:
        """Renew until the task is done; False if the lease went to another process."""
        while True:
            done, _ = await asyncio.wait([task], timeout=self._lease.seconds / 4)
            if done:
                return True
            try:
                if not await self._lease.take() or self._lease.epoch != epoch:
                    return False
            except StreamError as exc:
                # While the server is unreachable no other process can take the lease either.
                if not exc.retryable:
                    raise

    async def _drop(self) -> None:
        if self._leaves:
            return
        try:
            await self._lease.drop()
        except StreamError:
            return  # it expires by itself
