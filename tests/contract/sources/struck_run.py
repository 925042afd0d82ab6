"""
Struck run: `rsq-pipe run` that kills or pauses itself at moments of its source that a seed has chosen.

    STRIKES='[["SIGSTOP", "before", 3, 0.0]]' python -m tests.contract.sources.struck_run SABOTAGE run ...

A strike is a signal; whether it comes before or after the source stores records; at which time since the
strike before; and seconds from then on, for a moment in between. All else is of tests/contract/struck_run.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import signal
import sys
import threading
from typing import Any

from msgspec.structs import replace

from rsq_pipe.engine.sources.source_worker import SourceWorker
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import INGEST, SETTLE
from rsq_pipe.streams.settlement import Part, Position, Settled, Settlement
from tests.support import shaken_run

STAGE = "read"
AT_ONCE = StreamClient.settle
HEARD = 3.0
"""Seconds in which an answer, which a thread of its own sends, is heard also on a crowded machine."""


class Strikes:
    """Count what the source stores, and strike."""

    def __init__(self, given: list[tuple[str, str, int, float]]) -> None:
        self._coming = given
        self._stored = 0

    @property
    def are_coming(self) -> bool:
        """Whether it will strike again."""
        return bool(self._coming)

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
        if group not in {"", STAGE} or not settlement.parts or _is_of_a_sink(settlement):
            return await settle(self, settlement, group=group, **who)
        strikes.before()
        settled = await settle(self, settlement, group=group, **who)
        strikes.after()
        return settled

    StreamClient.settle = struck  # type: ignore[method-assign]


def _is_of_a_sink(settlement: Settlement) -> bool:
    """Tell whether it stores another position than the source's: a sink does when it opens its target."""
    position = settlement.position
    return position is not None and not position.field.startswith(f"position:{STAGE}")


def store_the_position_first(_: Strikes) -> None:
    """Store how far it has read, and then the records."""
    struck = StreamClient.settle

    async def settle(self: StreamClient, settlement: Settlement, *, group: str, **who: Any) -> Settled:
        if group or settlement.position is None or _is_of_a_sink(settlement):
            return await struck(self, settlement, group=group, **who)
        await AT_ONCE(self, Settlement([Part()], settlement.position), group="", **who)
        return await struck(self, replace(settlement, position=None), group="", **who)

    StreamClient.settle = settle  # type: ignore[method-assign]


def acknowledge_before_storing(strikes: Strikes) -> None:
    """Tell whoever sent records that they are stored, and then store them."""
    settle = SourceWorker._settle

    async def settle_late(
        self: SourceWorker, entering: Any, work: Any, position: Position, on_settled: Any = None
    ) -> bool | None:
        if on_settled is not None:
            on_settled(True)  # noqa: FBT003  as it is called
            if strikes.are_coming:
                await asyncio.sleep(HEARD)
        return await settle(self, entering, work, position)

    SourceWorker._settle = settle_late  # type: ignore[method-assign]


def store_whatever_was_stored(_: Strikes) -> None:
    """Believe that nobody else has read on."""
    for script in (SETTLE, INGEST):
        look = "stored ~= expected"
        shaken_run._edit(script, f"{look} then", f"{look} and not field:find('position:{STAGE}:') then")


OWN = {
    act.__name__: act
    for act in (store_the_position_first, store_whatever_was_stored, acknowledge_before_storing)
}

if __name__ == "__main__":
    strikes = Strikes(json.loads(os.environ["STRIKES"]))
    watch(strikes)
    if sabotage := OWN.get(sys.argv[1]):
        sabotage(strikes)
        sys.argv[1] = "none"
    runpy.run_module("tests.contract.struck_run", run_name="__main__")
