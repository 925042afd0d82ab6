"""Stopping: what a run prints on the signal that stops it, and on a second one."""

from __future__ import annotations

import os
import signal

import structlog

from rsq_pipe.engine.processes.supervised import SUPERVISED

_SECONDS = 1.0
"""How long the last word may take: a terminal that is held up by Ctrl-S takes none."""


def say_stopping() -> None:
    """Say that what is in flight is finished first; of several processes only the parent says so."""
    if SUPERVISED not in os.environ:
        structlog.get_logger("rsq_pipe").info(
            "stopping: what is in flight is finished first; another signal (Ctrl-C) does not wait for it"
        )


def say_ended_at_once() -> None:
    """Say what becomes of records in flight that the process does not finish."""
    if SUPERVISED not in os.environ:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, _SECONDS)
        structlog.get_logger("rsq_pipe").warning(
            "ended without waiting for what is in flight: nothing is lost, and it is handled again by others "
            "or by the next run"
        )
