"""Port holder: names, in a message, the process that listens at a port."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.process_state import describe_process

_LISTENS = "0A"


def listening(port: int) -> str:
    """Say which process listens at a port, and what to do if it is paused; empty if unknown."""
    wanted = {f"socket:[{inode}]" for inode in _sockets(port)}
    if not wanted:
        return ""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_it = any(str(file.readlink()) in wanted for file in (folder / "fd").iterdir())
        except OSError:  # it has ended, or is another user's
            continue
        if is_it:
            return describe_process(int(folder.name), "listens there")
    return ""


def _sockets(port: int) -> list[str]:
    """List the inodes of the sockets that listen at a port; none on other systems than Linux."""
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, *more = line.split()
            if state == _LISTENS and int(local.rpartition(":")[2], 16) == port:
                found.append(more[5])
    return found
