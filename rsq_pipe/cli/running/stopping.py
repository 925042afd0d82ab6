"""Stopping: runs until a signal stops it; the first one drains, the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

from rsq_pipe.cli.errors import FAILED, report
from rsq_pipe.cli.running.progress import show_cursor
from rsq_pipe.cli.running.signals import Terminals, stop_on_hangup
from rsq_pipe.cli.start import EarlyStop
from rsq_pipe.engine.processes.supervised import SUPERVISED, report_exit_code
from rsq_pipe.engine.summary import Summary
from rsq_pipe.errors import DrainTimeoutError

FORCED = 130
SAME = 0.3
"""Seconds within which the same signal is still the first one: `timeout` signals a process and its group."""
_SECONDS = 1.0
"""Maximum seconds for the last message: a terminal paused by Ctrl-S accepts none."""


async def run_until_signal(stop: Callable[[], None], run: Callable[[], Awaitable[Summary]]) -> Summary:
    """Run; the first signal stops, the second ends the process at once."""
    loop = asyncio.get_running_loop()
    terminals = Terminals()
    stopping_since: float | None = None
    first = 0

    def drain() -> None:
        terminals.leave_closed()
        stop()

    def on_signal(number: int) -> None:
        nonlocal stopping_since, first
        now = loop.time()
        if stopping_since is not None and number == first and now - stopping_since < SAME:
            return
        if stopping_since is not None:
            # Entries in flight stay pending and come back; nothing is half written.
            _report_ended_at_once()
            show_cursor()
            os._exit(FORCED)
        stopping_since, first = now, number
        drain()
        _report_stopping()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    stop_on_hangup(drain)
    if SUPERVISED in os.environ:
        _watch(int(os.environ[SUPERVISED]), lambda: on_signal(signal.SIGTERM))
    if EarlyStop.requested:
        on_signal(signal.SIGTERM)
    try:
        return await run()
    except DrainTimeoutError as exc:
        # Python would wait for hanging threads before it exits.
        report(exc)
        sys.stdout.flush()
        show_cursor()
        report_exit_code(FAILED)
        os._exit(FAILED)
    finally:
        _leave_signals()


def _leave_signals() -> None:
    """Handle no more signals; one of several processes ignores that of the supervisor from now on."""
    loop = asyncio.get_running_loop()
    # Blocked meanwhile: this process may have seen the end of all by itself, and is told of it all the same.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(number)
    if SUPERVISED in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def _watch(pipe: int, on_signal: Callable[[], None]) -> None:
    """Treat the supervisor's end, which closes its side of the pipe, as a signal to stop."""
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(pipe)
        on_signal()

    loop.add_reader(pipe, closed)


def _report_stopping() -> None:
    """Report that entries in flight are finished first; of several processes only the parent does."""
    if SUPERVISED not in os.environ:
        structlog.get_logger("rsq_pipe").info(
            "stopping: what is in flight is finished first; another signal (Ctrl-C) does not wait for it"
        )


def _report_ended_at_once() -> None:
    """Report what becomes of records in flight that the process does not finish."""
    if SUPERVISED not in os.environ:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)
        structlog.get_logger("rsq_pipe").warning(
            "ended without waiting for what is in flight: nothing is lost, and it is handled again by others "
            "or by the next run"
        )
