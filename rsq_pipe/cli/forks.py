"""Forks: child processes that a handler makes of this one, by `multiprocessing` for instance."""

from __future__ import annotations

import os
import signal

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def leave_signals_to_parent() -> None:
    """
    Have forked children take signals for themselves alone.

    A child inherits the way by which a signal wakes this process's event loop: without this, the SIGTERM by
    which a pool ends its workers would stop the run, and the workers would not end.
    """
    # Held back meanwhile: a signal may reach a child before it has run a single line.
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
