"""Process state: whether a process of this machine is stopped by a signal."""

from __future__ import annotations

from pathlib import Path


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped (SIGSTOP, Ctrl-Z, a debugger); False if unknown."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux, or it has ended
        return False
    return stat.rpartition(")")[2].split()[:1] in (["T"], ["t"])
