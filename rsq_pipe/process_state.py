"""Process state: names another process of this machine in a message, and says whether it is stopped."""

from __future__ import annotations

from pathlib import Path


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped (SIGSTOP, Ctrl-Z, a debugger); False if unknown."""
    try:
        stat = Path("/proc", str(pid), "stat").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux, or it has ended
        return False
    return stat.rpartition(") ")[2][:1] in ("T", "t")


def describe_process(pid: int, doing: str) -> str:
    """
    Describe what a process does and, if it is paused, what to do about it.

    Args:
        pid: The process.
        doing: What it does, `is using out/x.db`.
    """
    who = f"process {pid}{_name(pid)} {doing}"
    if not is_stopped(pid):
        return who
    return f"{who}, and is paused (SIGSTOP): let it go on, kill -CONT {pid}, or end it, kill -KILL {pid}"


def _name(pid: int) -> str:
    try:
        return f" ({Path('/proc', str(pid), 'comm').read_text(encoding='utf-8', errors='replace').strip()})"
    except OSError:  # it has ended
        return ""
