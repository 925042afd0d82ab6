"""Worker: the name of this process, and whether the process behind another name is gone."""

from __future__ import annotations

import os
import re
import secrets
import socket
import uuid
import zlib
from functools import cache
from pathlib import Path

_NAME = re.compile(r".*_([^_]+)_(\d+)-[0-9a-f]{12}")


def worker_name(role: str) -> str:
    """
    Make a name that no other process, and no other start of this one, has: `role_host.machine_pid-suffix`.

    Process ids repeat across machines and containers that share a host name, hence the machine's number; they
    also repeat over time, hence the suffix.
    """
    return f"{role}_{_here()}_{os.getpid()}-{secrets.token_hex(6)}"


def is_gone(name: str) -> bool:
    """
    Return whether the process behind a name certainly no longer exists.

    False for processes of other hosts: only their silence shows it. A wrong True (another process has the id)
    is impossible; a wrong False only means waiting for the silence.
    """
    match = _NAME.fullmatch(name)
    if match is None or match[1] != _here():
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _is_zombie(Path("/proc", match[2]))


def process_id(name: str) -> int | None:
    """Return the id of the process behind a name, if it runs or ran on this machine."""
    match = _NAME.fullmatch(name)
    return int(match[2]) if match is not None and match[1] == _here() else None


def is_of_this_machine(name: str) -> bool:
    """Return whether the process behind a name runs or ran here, so that `is_gone` can check it."""
    return process_id(name) is not None


def _is_zombie(process: Path) -> bool:
    """
    Return whether a process is dead and only its parent has not yet collected its exit code.

    All its threads must be dead: one that hangs in a disk driver outlives the first thread, and may still
    write.
    """
    try:
        state = (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
        return state == "Z" and [thread.name for thread in (process / "task").iterdir()] == [process.name]
    except (OSError, IndexError):  # not Linux, or gone in the meantime
        return False


@cache
def _here() -> str:
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
    return f"{host}.{_machine():x}"


def _machine() -> int:
    """
    Number this start of this machine and this namespace of process ids.

    Neither is enough alone: cloned machines share a host name, and every machine's first namespace has the
    same number; containers share a machine.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # not Linux: no namespaces, but the address of the network card
        return uuid.getnode()
    return zlib.crc32(f"{boot} {namespace}".encode())
