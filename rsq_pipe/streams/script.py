"""Script: a Lua file beside this one, sent by its hash, and whole where the server lacks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from rsq_pipe.streams.link import Command

_INCLUDE = re.compile(r"^--#include (\S+)$", re.MULTILINE)


class Script:
    """
    Name one script of scripts/.

    Args:
        name: The file's name without its ending.
        allow_oom: False takes the file's leave to write on a server at maxmemory away.
    """

    def __init__(self, name: str, *, allow_oom: bool = True) -> None:
        self.name = name
        self.source = _INCLUDE.sub(lambda match: _read(match[1]), _read(f"{name}.lua"))
        if not allow_oom:
            self.source = self.source.replace(" flags=allow-oom", "", 1)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def command(self, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Command:
        """Spell the call by hash; the server answers NOSCRIPT where it has never seen the source."""
        return ["EVALSHA", self.sha, len(keys), *keys, *args]

    def whole(self, call: Command) -> Command:
        """
        Spell a call by hash with the source instead: the server runs it, and knows it from then on.

        Not SCRIPT LOAD and the call again: a server whose scripts are flushed between the two, or that is
        another by then, would have to be taught for ever.
        """
        return ["EVAL", self.source, *call[2:]]


@cache
def _read(file: str) -> str:
    return (files("rsq_pipe.streams") / "scripts" / file).read_text(encoding="utf-8")


SETTLE = Script("settle")
# What enters a pipeline must wait while the server is full; what drains it must not.
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
SET_DELIVERIES = Script("set_deliveries")
SINK_OPEN = Script("sink_open")
SINK_WRITE = Script("sink_write")
