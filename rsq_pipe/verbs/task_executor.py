"""TaskExecutor: async calls, several at once, in tasks that can be abandoned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from rsq_pipe.errors import HandlerError
from rsq_pipe.model.outcome import NOT_CALLED, Failure
from rsq_pipe.verbs.contract import Contract
from rsq_pipe.verbs.executor import ABANDONED_LIMIT, overrun, too_many
from rsq_pipe.verbs.failed import failure
from rsq_pipe.verbs.overruns import Overruns

GRACE = 1.0  # seconds a cancelled call gets to clean up before it is abandoned
YIELD_EVERY = 0.01  # seconds of calls that never wait, after which other tasks get the event loop


class TaskExecutor:
    """
    Run async calls on the event loop.

    As many tasks work on a batch as calls may run at once; each takes the next item when it has finished one,
    so there is no task, timer or future per call. A call that blocks the loop itself cannot be stopped.

    Args:
        stage: For messages.
        timeout: Maximum seconds for one call.
        concurrency: Maximum number of concurrent calls; with 1 they run in order.
        grace: Seconds that a timed-out call gets to end once it is cancelled.
    """

    def __init__(self, stage: str, timeout: float, concurrency: int = 1, grace: float = GRACE) -> None:
        self._stage = stage
        self._timeout = timeout
        self._concurrency = concurrency
        self._grace = grace
        self._todo: Iterator[tuple[int, Any]] = iter(())
        self._results: list[Any] = []
        self.overruns = Overruns(stage, timeout)
        self._abandoned: set[asyncio.Task[None]] = set()

    async def each(
        self, call: Callable[[Any], Any], items: Sequence[Any], contract: Contract | None = None
    ) -> list[Any]:
        """Implement `Executor.each`."""
        with self.overruns.during():
            return await self._each(call, items, contract)

    async def _each(
        self, call: Callable[[Any], Any], items: Sequence[Any], contract: Contract | None
    ) -> list[Any]:
        results = self._results = [None] * len(items)
        todo = self._todo = enumerate(items)
        walks: dict[asyncio.Task[None], _Walk] = {}

        def begin() -> None:
            walk = _Walk(call, todo, results, contract)
            walks[asyncio.create_task(walk.work(), name=f"rsq-pipe {self._stage}")] = walk

        for _ in range(min(self._concurrency, len(items))):
            begin()
        try:
            while walks:
                due = min(walk.since for walk in walks.values()) + self._timeout
                done, _ = await asyncio.wait(walks, timeout=max(due - monotonic(), 0))
                for task in done:
                    walk = walks.pop(task)
                    if task.cancelled():  # by the handler itself, in the middle of a call
                        if walk.index is not None:
                            results[walk.index] = Failure(self._cancelled_itself())
                        begin()
                late = [task for task, walk in walks.items() if walk.overran(self._timeout)]
                for task in late:
                    walk = walks.pop(task)
                    walk.abandoned = True
                    assert walk.index is not None
                    results[walk.index] = Failure(overrun(self._stage, self._timeout))
                    self.overruns.note(walk.since)
                await self._end(late)
                for _ in late:
                    begin()
        finally:
            self._results, self._todo = [], iter(())  # or the batch stays in memory until the next one
            for task, walk in walks.items():
                walk.abandoned = True
                self._leave(task)
        found = [*results]
        results.clear()  # from Python 3.12 on, a failure's traceback leads to the frames that refer to it
        return found

    def skip_rest(self) -> None:
        """Implement `Executor.skip_rest`."""
        for index, _ in self._todo:
            self._results[index] = NOT_CALLED

    async def close(self) -> None:
        """Give abandoned calls one more chance to clean up."""
        for task in self._abandoned:
            task.cancel()
        if self._abandoned:
            await asyncio.wait(self._abandoned, timeout=self._grace)

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Cancel calls that timed out; those that do not end are abandoned, up to a limit."""
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        try:
            _, hung = await asyncio.wait(tasks, timeout=self._grace)
        except asyncio.CancelledError:
            for task in tasks:
                self._leave(task)
            raise
        for task in hung:
            self._leave(task)
        if len(self._abandoned) >= ABANDONED_LIMIT:
            raise too_many(self._stage, len(self._abandoned), self._timeout)

    def _leave(self, task: asyncio.Task[None]) -> None:
        """
        Cancel a task and stop waiting for it.

        It is also removed from asyncio's own list: asyncio.run() waits for all tasks it finds there, and one
        handler that swallows its cancellation would keep the process from ending.
        """
        task.cancel()
        if task.done():
            return
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        asyncio._unregister_task(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _cancelled_itself(self) -> HandlerError:
        return HandlerError(
            f"stage {self._stage!r}: the handler cancelled the task it runs in; "
            "return Retry or raise an error instead",
            stage=self._stage,
        )


class _Walk:
    """
    Do the work of one task: take the next item, call, put the result in its place.

    `index` is that of the call running since `since`; None between calls, when nothing can time out.
    """

    __slots__ = ("_call", "_contract", "_results", "_todo", "abandoned", "index", "since")

    def __init__(
        self,
        call: Callable[[Any], Any],
        todo: Iterator[tuple[int, Any]],
        results: list[Any],
        contract: Contract | None,
    ) -> None:
        self._call = call
        self._contract = contract
        self._todo = todo
        self._results = results
        self.index: int | None = None
        self.since = monotonic()
        self.abandoned = False

    def overran(self, timeout: float) -> bool:
        return self.index is not None and monotonic() - self.since >= timeout

    async def work(self) -> None:
        call, results, contract = self._call, self._results, self._contract
        self.since = breath = monotonic()
        for index, item in self._todo:
            self.index = index
            try:
                result = await call(item)
                if contract is not None:
                    result = contract.outcome(result)
            # SystemExit and KeyboardInterrupt too: user code can end its record, never the process.
            except BaseException as exc:
                if self.abandoned:
                    return
                if _cancelled(exc):
                    raise
                result = failure(exc)
            if self.abandoned:
                return
            results[index] = result
            result = None  # a failure's traceback leads to this frame
            self.since = monotonic()
            if self.since - breath > YIELD_EVERY:
                self.index = None
                await asyncio.sleep(0)
                self.since = breath = monotonic()


def _cancelled(error: BaseException) -> bool:
    """Return whether our task was cancelled, or user code let a CancelledError escape from its own task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
