"""
Struck run: `rsq-pipe` as a process of the contract suites, with leases of a second and slow settlements.

A batch is written, and a moment later settled, so that kills and pauses often fall in between. The first word
is `none`, or the safety that is switched off, to show that the suites would notice.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from rsq_pipe.cli.main import main
from rsq_pipe.connectors.ledger.ledger import Ledger
from rsq_pipe.streams.client import StreamClient
from tests.support import shaken_run

SETTLING = 0.02
"""Seconds between the writing of a batch and its settlement."""


def write_what_the_ledger_has() -> None:
    """Write again what was written, and not settled."""
    Ledger.unwritten = lambda self, rids: range(len(rids))  # type: ignore[method-assign]


SABOTAGES: dict[str, Callable[[], None]] = {
    act.__name__: act
    for act in (
        shaken_run.none,
        shaken_run.settle_in_two_steps,
        shaken_run.append_behind_uncommitted_lines,
        shaken_run.ingest_without_looking_at_the_position,
        write_what_the_ledger_has,
    )
}


def settle_slowly() -> None:
    at_once = StreamClient.settle

    async def settle(self: StreamClient, *given: Any, **more: Any) -> Any:
        await asyncio.sleep(SETTLING)
        return await at_once(self, *given, **more)

    StreamClient.settle = settle  # type: ignore[method-assign]


if __name__ == "__main__":
    SABOTAGES[sys.argv.pop(1)]()
    settle_slowly()
    shaken_run.shorten_leases()
    main()
