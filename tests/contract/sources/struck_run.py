"""
Struck run: `rsq-pipe run` that kills or pauses itself at moments of its source that a seed has chosen.

    STRIKES='[["SIGSTOP", "before", 3, 0.0]]' python -m tests.contract.sources.struck_run none run ...

A strike is a signal; whether it comes before or after the source stores records; at which time since the
strike before; and seconds from then on, for a moment in between. All else is of tests/contract/struck_run.py.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import threading
from typing import Any

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Settled, Settlement

STAGE = "read"


class Strikes:
    """Count what the source stores, and strike."""

    def __init__(self, given: list[tuple[str, str, int, float]]) -> None:
        self._coming = given
        self._stored = 0

    def before(self) -> None:
        """Take note that records are about to be stored."""
        self._stored += 1
        self._strike("before")

    def after(self) -> None:
        """Take note that they are."""
        self._strike("after")

    def _strike(self, moment: str) -> None:
        # What could not be stored is tried again, and counted again.
        if not self._coming or moment != self._coming[0][1] or self._stored < self._coming[0][2]:
            return
        name, _, _, seconds = self._coming.pop(0)
        self._stored = 0
        if seconds:
            threading.Timer(seconds, os.kill, (os.getpid(), signal.Signals[name])).start()
        else:
            os.kill(os.getpid(), signal.Signals[name])


def watch(strikes: Strikes) -> None:
    """Have the source's settlements, and no other stage's, be counted."""
    settle = StreamClient.settle

    async def struck(self: StreamClient, settlement: Settlement, *, group: str, **who: Any) -> Settled:
        if group not in {"", STAGE} or not settlement.parts:
            return await settle(self, settlement, group=group, **who)
        strikes.before()
        settled = await settle(self, settlement, group=group, **who)
        strikes.after()
        return settled

    StreamClient.settle = struck  # type: ignore[method-assign]


if __name__ == "__main__":
    watch(Strikes(json.loads(os.environ["STRIKES"])))
    runpy.run_module("tests.contract.struck_run", run_name="__main__")
