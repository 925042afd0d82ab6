"""Signals: a closed terminal or lost ssh connection, and signals in forked child processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_on_hangup(stop: Callable[[], None]) -> None:
    """Stop the run in this event loop on SIGHUP, unless that is ignored, as under nohup."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        # A closed terminal may send two, one from its shell and one from the kernel: the second must not
        # force an end.
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop()

    loop.add_signal_handler(signal.SIGHUP, hung_up)


class Terminals:
    """Store which standard streams are terminals, and stop writing to closed ones."""

    def __init__(self) -> None:
        self._numbers = [number for number in (1, 2) if os.isatty(number)]

    def leave_closed(self) -> None:
        """Discard output to a terminal that is gone: a write would fail, and end a drain."""
        for number in self._numbers:
            if not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


def leave_signals_to_parent() -> None:
    """
    Keep the signals of forked children from this process.

    A child inherits the descriptor through which signals wake this process's event loop: without this, the
    SIGTERM by which a pool ends its workers would stop the run, and the workers would not end.
    """
    # Signals are blocked during that: one may reach a child before it has run a single line.
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_begin_anew)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _begin_anew() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    _let_through()
