"""ThreadExecutor: runs sync calls, one after another, in a thread that can be abandoned."""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic
from typing import Any, Protocol

from rsq_pipe.errors import HandlerError, HandlerTimeoutError
from rsq_pipe.model.outcome import NOT_CALLED, Failure
from rsq_pipe.units import format_duration
from rsq_pipe.verbs.contract import Contract
from rsq_pipe.verbs.failed import failure
from rsq_pipe.verbs.overruns import Overruns

ABANDONED_LIMIT = 16  # calls of one stage worker that timed out and still run


class Executor(Protocol):
    """Runs a stage worker's handler calls: in a thread for sync functions, in tasks for async ones."""

    overruns: Overruns
    """The calls that timed out."""

    async def each(
        self, call: Callable[[Any], Any], items: Sequence[Any], contract: Contract | None = None
    ) -> list[Any]:
        """
        Call once per item.

        Args:
            call: The function.
            items: The argument of each call.
            contract: Converts a call's result into an outcome, in the same thread; None to return the result
                itself.

        Returns:
            The result of each call, or a Failure in its place: it raised, or timed out.

        Raises:
            HandlerError: Too many calls that timed out are still running.

        Cancellation: running calls are abandoned; their results are never used.
        """
        ...

    def skip_rest(self) -> None:
        """Begin no more calls of the items in progress: those left get `NOT_CALLED`."""
        ...

    async def close(self) -> None:
        """Release everything, without waiting for hanging calls."""
        ...


class ThreadExecutor:
    """
    Run sync calls off the event loop.

    A whole batch is one hop to the thread. A call that times out loses its thread: an exception is raised in
    the thread, it is abandoned, and a new one continues with the next item. Not a ThreadPoolExecutor, whose
    threads are joined at exit: a hanging handler must not delay the end of the process.

    Args:
        stage: For messages and thread names.
        timeout: Maximum seconds for one call.
    """

    def __init__(self, stage: str, timeout: float) -> None:
        self._stage = stage
        self._timeout = timeout
        self.overruns = Overruns(stage, timeout)
        self._worker: _Worker | None = None
        self._run: _Run | None = None
        self._abandoned: list[_Worker] = []

    async def each(
        self, call: Callable[[Any], Any], items: Sequence[Any], contract: Contract | None = None
    ) -> list[Any]:
        """Implement `Executor.each`."""
        results: list[Any] = []
        while len(results) < len(items):
            worker = self._worker = self._worker or self._new_worker()
            run = _Run(call, items[len(results) :] if results else items, self._timeout, contract)
            self._run = run
            self.overruns.works = True
            worker.inbox.put(run)
            try:
                await run.ended.wait()
            finally:
                self._run = None
                self.overruns.works = False
                run.timer.cancel()  # a cancelled timer drops its reference to the run
                if run.has_overrun or not run.ended.is_set():
                    self._abandon(worker, run)
            results += run.results[: run.count]
            run.results.clear()  # a failure's traceback leads to the frame that refers to this run
            if run.count and self.overruns.count:
                self.overruns.clear()
            if run.has_overrun:
                self.overruns.note(run.since)
                results.append(Failure(overrun(self._stage, self._timeout)))
            if run.skipped is not None:
                results += [NOT_CALLED] * (len(items) - len(results))
        return results

    def skip_rest(self) -> None:
        """Implement `Executor.skip_rest`."""
        if self._run is not None:
            self._run.skip_rest()

    async def close(self) -> None:
        """Stop the idle thread."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _new_worker(self) -> _Worker:
        self._abandoned = [worker for worker in self._abandoned if worker.is_alive()]
        if len(self._abandoned) >= ABANDONED_LIMIT:
            raise too_many(self._stage, len(self._abandoned), self._timeout)
        return _Worker(f"rsq-pipe {self._stage}")

    def _abandon(self, worker: _Worker, run: _Run) -> None:
        run.abandoned = True
        worker.interrupt()
        self._worker = None
        self._abandoned.append(worker)


def overrun(stage: str, timeout: float) -> HandlerTimeoutError:
    """Build the error of one call that timed out."""
    return HandlerTimeoutError(
        f"stage {stage!r}: the handler took longer than {format_duration(timeout)}; "
        "make it faster, or raise the stage's `timeout`",
        stage=stage,
        timeout=timeout,
    )


def too_many(stage: str, count: int, timeout: float) -> HandlerError:
    """Build the error of a stage whose abandoned calls accumulate."""
    return HandlerError(
        f"stage {stage!r}: {count} handler calls ran past {format_duration(timeout)} and are still running; "
        "give what they wait for its own timeout, shorter than the stage's",
        stage=stage,
    )


class _Abandoned(SystemExit):
    """
    Ends the call of an abandoned thread.

    `except Exception` does not catch it, and a thread that ends with a SystemExit prints nothing.
    """


class _Run:
    """
    The calls of one batch, and their progress in one thread; watched from the event loop.

    An object that ends with its timer, not a closure: one that refers to itself is a cycle, and would keep
    each batch in memory until the garbage collection. See docs/adr/0011-look-for-garbage-less-often.md.
    """

    __slots__ = (
        *("abandoned", "call", "context", "contract", "count", "ended", "has_overrun", "results", "since"),
        *("skipped", "timer", "todo", "_loop", "_timeout"),
    )

    def __init__(
        self,
        call: Callable[[Any], Any],
        items: Sequence[Any],
        timeout: float,
        contract: Contract | None = None,
    ) -> None:
        self.call = call
        self.todo = iter(items)
        self.contract = contract
        self.results: list[Any] = []
        self.count = len(items)  # how many results there will be, or how many of them count
        self.skipped: int | None = None  # how many items are left out
        self.since = float("inf")  # a thread that a busy machine has not started yet is not late
        self.abandoned = False
        self.has_overrun = False
        self.ended = asyncio.Event()  # set when the run has finished, or one of its calls has timed out
        self.context = contextvars.copy_context()
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self.timer = self._loop.call_later(timeout, self.check_timeout)

    def work(self) -> None:
        """Make the calls; the hot loop: one attribute store and one append per item, besides the call."""
        call, append, contract = self.call, self.results.append, self.contract
        is_plain = contract is not None and contract.plain
        self.since = monotonic()
        result = None
        try:
            for item in self.todo:
                try:
                    result = call(item)
                    # Nearly all return a dict that is passed on as it is.
                    if contract is not None and not (is_plain and type(result) is dict):
                        result = contract.outcome(result)
                except _Abandoned:
                    return
                # SystemExit and KeyboardInterrupt too: user code ends its record, never the process.
                except BaseException as exc:  # noqa: BLE001
                    result = failure(exc)
                if self.abandoned:
                    return
                self.since = monotonic()
                append(result)
        finally:
            # A failure's traceback refers to this frame; a reference from here to it would be a cycle.
            result = None
        if not self.abandoned:
            self._loop.call_soon_threadsafe(self.ended.set)

    def skip_rest(self) -> None:
        """Take away, on the event loop, the items that the thread has not begun."""
        # One call in C: the thread gets an item, or finds none left, but none is lost between the two.
        self.skipped = len(list(self.todo))
        self.count -= self.skipped

    def check_timeout(self) -> None:
        """Check from the event loop whether a call has timed out, and when to check again."""
        # The order matters: the thread sets `since` before it appends, so a count read before an
        # old `since` belongs to the call that timed out, and never to one that has just begun.
        count, since = len(self.results), self.since
        left = since + self._timeout - monotonic()
        if self.ended.is_set():
            return
        if count == self.count:
            # Nothing can time out any more: the thread is about to report, or its report is on its way.
            self.timer = self._loop.call_later(self._timeout, self.check_timeout)
        elif left > 0:
            self.timer = self._loop.call_later(min(left, self._timeout), self.check_timeout)
        else:
            self.count, self.has_overrun = count, True
            self.ended.set()


class _Worker:
    """A daemon thread that works off the runs in its inbox, one at a time; None stops it."""

    def __init__(self, name: str) -> None:
        self.inbox: SimpleQueue[_Run | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run_inbox, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.inbox.put(None)
        self._thread.join(1.0)  # it is idle: this takes as long as waking it up

    def interrupt(self) -> None:
        """Raise in the thread at its next Python instruction; a call that sleeps in C ends when it wakes."""
        assert self._thread.ident is not None
        ident = ctypes.c_ulong(self._thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Abandoned))
        # After the call: until the thread takes this it cannot end, so its ident cannot be another thread's.
        self.inbox.put(None)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run_inbox(self) -> None:
        try:
            while (run := self.inbox.get()) is not None:
                run.context.run(run.work)
                del run  # or the last batch stays in memory while the thread waits
        except (
            _Abandoned,
            RuntimeError,
        ):  # RuntimeError: the loop is closed, no task awaits the run
            return
