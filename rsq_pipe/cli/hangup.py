"""Hangup: the terminal of a command is closed, or its ssh connection lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


def stop_on_hangup(stop: Callable[[], None]) -> None:
    """Have SIGHUP stop what runs in this event loop; where it is ignored, as under nohup, it stays so."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        # A terminal that is closed may say so twice, by its shell and by the kernel: no reason to be hasty.
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop()

    loop.add_signal_handler(signal.SIGHUP, hung_up)


class Terminals:
    """Know which of the standard streams are terminals, and leave those that are closed."""

    def __init__(self) -> None:
        self._numbers = [number for number in (1, 2) if os.isatty(number)]

    def leave_closed(self) -> None:
        """Write nowhere, from now on, where a terminal is gone: a line would be an error, and end a drain."""
        for number in self._numbers:
            if not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)
