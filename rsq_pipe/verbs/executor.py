"""ThreadExecutor: sync calls, one after another, in a thread that can be left behind."""

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
from rsq_pipe.model.outcome import Failure
from rsq_pipe.units import format_duration
from rsq_pipe.verbs.failed import failure

ABANDONED_LIMIT = 16  # calls of one stage worker that ran past their timeout and still run


class Executor(Protocol):
    """Where a stage worker's handler calls run: a thread for sync functions, tasks for async ones."""

    async def each(self, call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """
        Call once per item.

        Returns:
            What each call returned, or a Failure in its place: it raised, or ran past the timeout.

        Raises:
            HandlerError: Too many calls that overran are still running.

        Cancellation: what runs is abandoned; what it returns later is never used.
        """
        ...

    async def close(self) -> None:
        """Let go of everything, without waiting for what hangs."""
        ...


class ThreadExecutor:
    """
    Run sync calls off the event loop.

    A whole batch is one hop to the thread. A call that overruns loses its thread: the thread is told to
    stop by an exception, left behind, and a new one goes on with the next item. Not a ThreadPoolExecutor,
    whose threads are joined at exit: a handler that hangs must not hold up the end of the process.

    Args:
        stage: For messages and thread names.
        timeout: Seconds one call may take.
    """

    def __init__(self, stage: str, timeout: float) -> None:
        self._stage = stage
        self._timeout = timeout
        self._worker: _Worker | None = None
        self._abandoned: list[_Worker] = []

    async def each(self, call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        """Do as `Executor.each` says."""
        results: list[Any] = []
        while len(results) < len(items):
            run = _Run(call, items[len(results) :] if results else items)
            finished = await self._finished(run)
            results += run.take()
            if not finished:
                results.append(Failure(overrun(self._stage, self._timeout)))
        return results

    async def close(self) -> None:
        """Send the idle thread home."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    async def _finished(self, run: _Run) -> bool:
        """Hand the run to the thread and watch it; False: a call overran, and the thread was abandoned."""
        worker = self._worker = self._worker or self._hire()
        watch = _Watch(run, self._timeout)
        worker.start(run, watch.finished)
        kept_worker = False
        try:
            kept_worker = await watch.future
        finally:
            watch.end()
            if not kept_worker:
                self._abandon(worker, run)
        return kept_worker

    def _hire(self) -> _Worker:
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
    """Build the error of one call that took too long."""
    return HandlerTimeoutError(
        f"stage {stage!r}: the handler took longer than {format_duration(timeout)}; "
        "make it faster, or raise the stage's `timeout`",
        stage=stage,
        timeout=timeout,
    )


def too_many(stage: str, count: int, timeout: float) -> HandlerError:
    """Build the error of a stage that leaves calls behind faster than they end."""
    return HandlerError(
        f"stage {stage!r}: {count} handler calls ran past {format_duration(timeout)} and are still running; "
        "give what they wait for a timeout of its own, shorter than the stage's",
        stage=stage,
    )


class _Watch:
    """
    Look at a run from the event loop until it is finished, or one of its calls overran.

    An object that ends with its timer, and no closure: one that names itself is a cycle, and would keep each
    batch in memory until Python looks for garbage. See docs/adr/0011-look-for-garbage-less-often.md.
    """

    def __init__(self, run: _Run, timeout: float) -> None:
        self._run = run
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(timeout, self._look)
        self.future: asyncio.Future[bool] = self._loop.create_future()
        """True: the run is finished; False: a call overran."""

    def finished(self) -> None:
        """Tell the event loop, from the thread."""
        self._loop.call_soon_threadsafe(self._resolve)

    def end(self) -> None:
        """Look no more; a cancelled timer lets go of this object."""
        self._timer.cancel()

    def _look(self) -> None:
        # The order matters: the thread sets `since` before it appends, so a count read before an
        # old `since` is that of the call which overran, and never of one that has just begun.
        count, since = len(self._run.results), self._run.since
        left = since + self._timeout - monotonic()
        if self.future.done():
            return
        if count == len(self._run.items):
            # Nothing overruns any more: the thread is about to say so, or its word is on its way.
            self._timer = self._loop.call_later(self._timeout, self._look)
        elif left > 0:
            self._timer = self._loop.call_later(min(left, self._timeout), self._look)
        else:
            self._run.count = count
            self.future.set_result(False)

    def _resolve(self) -> None:
        if not self.future.done():
            self.future.set_result(True)


class _Abandoned(SystemExit):
    """
    Ends the call of an abandoned thread.

    `except Exception` lets it pass, and a thread that dies of a SystemExit dies quietly.
    """


class _Run:
    """The calls of one batch, as far as one thread has come."""

    __slots__ = ("abandoned", "call", "count", "items", "results", "since")

    def __init__(self, call: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.call = call
        self.items = items
        self.results: list[Any] = []
        self.count = len(items)  # how many of the results count
        self.since = float("inf")  # a thread that a busy machine has not started yet is not late
        self.abandoned = False

    def work(self) -> None:
        """Make the calls; the hot loop: one attribute store and one append per item beside the call."""
        call, append = self.call, self.results.append
        self.since = monotonic()
        result = None
        try:
            for item in self.items:
                try:
                    result = call(item)
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
            # A failure's traceback leads to this frame; were there a way back, it would be a cycle.
            result = None

    def take(self) -> list[Any]:
        """Hand over the results that count, and keep none: the frame above refers to this run."""
        taken = self.results[: self.count]
        self.results.clear()
        return taken


class _Worker:
    """A daemon thread that works runs, one at a time."""

    def __init__(self, name: str) -> None:
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def start(self, run: _Run, finished: Callable[[], object]) -> None:
        context = contextvars.copy_context()

        def work() -> None:
            context.run(run.work)
            if not run.abandoned:
                finished()

        self._inbox.put(work)

    def stop(self) -> None:
        self._inbox.put(None)
        self._thread.join(1.0)  # it is idle: this takes as long as waking it up

    def interrupt(self) -> None:
        """Raise in the thread at its next Python instruction; a call that sleeps in C ends when it wakes."""
        assert self._thread.ident is not None
        ident = ctypes.c_ulong(self._thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Abandoned))
        # Afterwards: until it takes this the thread cannot end, and its ident cannot be another thread's.
        self._inbox.put(None)

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _live(self) -> None:
        try:
            while (work := self._inbox.get()) is not None:
                work()
                del work  # or the last batch stays in memory while the thread waits
        except (_Abandoned, RuntimeError):  # RuntimeError: the loop is closed, nobody waits for the run
            return
