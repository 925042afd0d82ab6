"""Exit reason: why a process ended, in words."""

from __future__ import annotations

import signal


def exit_reason(code: int, *, by_itself: bool) -> str:
    """
    Return why a process that is started again has ended.

    Args:
        code: Its exit code, or minus the number of the signal that ended it.
        by_itself: Whether its run had ended: without its server, as all other ends are final.
    """
    if by_itself:
        return "the server is not reachable, or refuses the login"
    if code >= 0:
        return f"its own code ended it with exit code {code}, as os._exit does"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = ", as by the system if memory runs out" if -code == signal.SIGKILL else ""
    return f"killed by {name}{memory}"
