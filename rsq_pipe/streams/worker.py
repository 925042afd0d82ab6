"""Worker: the name of this process, and whether the process behind another name is gone."""

from __future__ import annotations

import os
import re
import secrets
import socket
from functools import cache
from pathlib import Path


def worker_name(role: str) -> str:
    """
    Make a name that no other process, and no other start of this one, has: `role_host.namespace_pid-suffix`.

    Process ids repeat across containers that share a host name, hence the namespace; they repeat in time,
    hence the suffix.
    """
    return f"{role}_{_here()}_{os.getpid()}-{secrets.token_hex(6)}"


def is_gone(name: str) -> bool:
    """
    Tell whether the process behind a name certainly does not exist any more.

    False for processes of other hosts: of these only silence tells. A True that is wrong (another process
    has the id) is impossible; a wrong False only means waiting for the silence.
    """
    match = re.fullmatch(r".*_([^_]+)_(\d+)-[0-9a-f]{12}", name)
    if match is None or match[1] != _here():
        return False
    try:
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


@cache
def _here() -> str:
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:  # no namespaces here: macOS
        namespace = 0
    return f"{host}.{namespace:x}"
