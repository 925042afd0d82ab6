"""Script: a Lua file in scripts/, sent by its hash, or in full if the server does not have it."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

_INCLUDE = re.compile(r"^--#include (\S+)$", re.MULTILINE)


class Script:
    """
    Identify one script of scripts/.

    Args:
        name: The file's name without its suffix.
        allow_oom: False revokes the file's permission to write on a server at maxmemory.
    """

    def __init__(self, name: str, *, allow_oom: bool = True) -> None:
        self.name = name
        self.source = _INCLUDE.sub(lambda match: _read(match[1]), _read(f"{name}.lua"))
        if not allow_oom:
            self.source = self.source.replace(" flags=allow-oom", "", 1)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@cache
def _read(file: str) -> str:
    return (files("rsq_pipe.streams") / "scripts" / file).read_text(encoding="utf-8")


SETTLE = Script("settle")
# Records entering a pipeline must wait while the server is full; those draining it must not.
INGEST = Script("settle", allow_oom=False)
PUSH = Script("push")
TRIM = Script("trim")
PROMOTE = Script("promote")
REDELIVER = Script("redeliver")
KEEP_ALIVE = Script("keep_alive")
HAND_BACK = Script("hand_back")
FORGET = Script("forget")
LEASE = Script("lease")
PRESENCE = Script("presence")
PROVISION = Script("provision")
CLEAR = Script("clear")
KNOWN = Script("known")
RATE = Script("rate")
HOLD = Script("hold")
RESUME = Script("resume")
SET_DELIVERIES = Script("set_deliveries")
SINK_OPEN = Script("sink_open")
SINK_WRITE = Script("sink_write")
