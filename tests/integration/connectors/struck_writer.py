"""Writers of a sink that are killed and paused, and the place they write to."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.connectors.struck_process import StruckProcess

TOTAL = 1_000
"""Records that are written."""


class Place:
    """What one kind of sink writes to, and what stands in it."""

    def __init__(
        self,
        kind: str,
        options: dict[str, Any],
        ids: Callable[[], list[int]],
        clear: Callable[[], Any],
        *,
        writer: str = "ledger_writer",
        calls: int = 2_500,
        batches: int = 20,
        waits: bool = True,
    ) -> None:
        self.kind = kind
        self.options = options
        self.ids = ids
        self.clear = clear
        self.writer = writer
        """The module that writes there."""
        self.calls = calls
        """How many calls a sink makes while it writes about a hundred records."""
        self.batches = batches
        """The last batch that is struck."""
        self.waits = waits
        """Whether a paused writer may keep its successor out."""


class Writer(StruckProcess):
    """A process that writes through a sink: its place says which; a shard has shared_ledger_writer.py."""

    def __init__(
        self,
        place: Place,
        root: Path,
        *,
        kind: str = "SIGKILL",
        call: int = 0,
        seed: str = "",
        without: str = "",
        shard: int | None = None,
    ) -> None:
        given = {"total": TOTAL, "signal": kind, "call": call, "seed": seed, "without": without}
        module = place.writer if shard is None else "shared_ledger_writer"
        settings = json.dumps({**given, "shard": shard, "options": place.options})
        super().__init__(module, place.kind, str(root), GIVEN=settings)


def struck(place: Place, root: Path, strikes: int, seed: str, shard: int | None = None) -> tuple[int, int]:
    """Kill writers, and pause every third beside its successor; return how many of each there were."""
    draw = random.Random(seed)
    kills = pauses = 0
    for number in range(strikes):
        call = draw.choice([draw.randint(1, place.calls), -draw.randint(1, place.batches)])
        own = f"{seed} {number}"
        if number % 3:
            kills += Writer(place, root, call=call, seed=own, shard=shard).end()[0] == -signal.SIGKILL
            continue
        paused = Writer(place, root, kind="SIGSTOP", call=call, seed=own, shard=shard)
        if not paused.stopped():
            paused.end()
            continue
        pauses += 1
        after = draw.randint(place.calls // 5, place.calls)
        successor = Writer(place, root, call=after, seed=own + "s", shard=shard)
        try:
            code, said = successor.end()
        finally:
            paused.resume()
        # It waits for one that is paused in a transaction of SQLite's.
        if place.waits and said.startswith("busy"):
            paused.end()
            continue
        assert code in (0, -signal.SIGKILL), said
        kills += code == -signal.SIGKILL
        code, said = paused.end()
        assert code == 1, "the paused writer went on as if nothing had happened"
    return kills, pauses


def each_once(
    place: Place,
    root: Path,
    strikes: int,
    seed: str,
    *,
    strike: Callable[[Place, Path, str], tuple[int, int]] | None = None,
    shard: int | None = None,
) -> None:
    """
    Check that each record stands there once, in rounds, until there were so many strikes.

    Args:
        place: Where the writers write.
        root: An empty folder.
        strikes: How many there are to be.
        seed: Chooses when.
        strike: Strikes writers in a folder, by a seed, if not one after the other; gives kills and pauses.
        shard: Of the last writer of a round, which nobody strikes.
    """
    kills = pauses = rounds = lost = doubled = 0
    while kills + pauses < strikes:
        own = root / str(rounds)
        own.mkdir()
        left, when = min(12, strikes - kills - pauses), f"{seed} {rounds}"
        more = strike(place, own, when) if strike else struck(place, own, left, when)
        kills, pauses, rounds = kills + more[0], pauses + more[1], rounds + 1
        code, said = Writer(place, own, seed=seed, shard=shard).end()
        assert code == 0, said
        found = place.ids()
        lost += len(set(range(TOTAL)) - set(found))
        doubled += len(found) - len(set(found))
        place.clear()

    print(f"{place.kind}: seed {seed}, {kills} kills, {pauses} pauses: {lost} lost, {doubled} doubled")
    assert (lost, doubled) == (0, 0)
