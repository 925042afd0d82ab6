"""
A process that writes records beside others through a sink of several writers, and can kill or pause itself.

What the pipeline's server would know stands in one file: who has which record in hand, how often it was
handed out, and the position and the owner of each shard. A record that somebody has in hand may be taken over
at any time, also from one who lives. With `without` the process runs with a safety switched off.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from rsq_pipe.connectors.ledger.ledger import Row
from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.integration.connectors.ledger_writer import SinkStrike
from tests.integration.connectors.writer import Store

T = TypeVar("T")

TAKEN_OVER = 0.2
"""How often a batch is not of new records, but of those that others have in hand."""

MOST = 8
"""How often a record is taken from one who lives; else they would do nothing but take."""


class Queue(Store):
    """The records of a pipeline, and who has which in hand."""

    def __init__(self, root: Path, total: int, shard: int) -> None:
        super().__init__(root)
        self._total = total
        self.shard = shard
        self._shard = str(shard)
        self._name = f"{os.getpid()} {os.urandom(4).hex()}"
        self._token = 0

    def own(self) -> None:
        """Become the owner of the shard."""

        def change(state: dict[str, Any]) -> None:
            self._token = state["tokens"][self._shard] = state["tokens"].get(self._shard, 0) + 1

        self._changed(change)

    def position(self) -> str | None:
        """Tell the shard's position, if one is stored."""
        found: str | None = self.load()["positions"].get(self._shard)
        return found

    def positions(self) -> dict[int, str]:
        """Tell the positions of all shards."""
        return {int(shard): position for shard, position in self.load()["positions"].items()}

    def still(self) -> bool:
        """Tell whether nobody else has become the owner."""
        return bool(self.load()["tokens"][self._shard] == self._token)

    def store(self, position: str) -> bool:
        """Move the position without records."""
        return self.settle((), position)

    def hand_out(self, draw: random.Random) -> tuple[list[int], bool] | None:
        """Take some records in hand; tell whether one was handed out before; None where all are done."""

        def change(state: dict[str, Any]) -> tuple[list[int], bool] | None:
            held: dict[str, list[Any]] = state["held"]
            others = [n for n, (who, count) in held.items() if who != self._name and _may_go(who, count)]
            new = list(range(state["next"], min(self._total, state["next"] + draw.randint(1, 20))))
            if others and (not new or draw.random() < TAKEN_OVER):
                some = draw.sample(others, min(len(others), draw.randint(1, 20)))
                for one in some:
                    held[one] = [self._name, held[one][1] + 1]
                return [int(one) for one in some], any(held[one][1] > 1 for one in some)
            state["next"] += len(new)
            held |= {str(n): [self._name, 1] for n in new}
            return None if not held and not new else (new, False)

        return self._changed(change)

    def hand_back(self) -> None:
        """Give up what is in hand, so that whoever gets it sees that it was."""

        def change(state: dict[str, Any]) -> None:
            for one in state["held"].values():
                one[0] = "" if one[0] == self._name else one[0]

        self._changed(change)

    def settle(self, numbers: list[int] | tuple[()], position: str) -> bool:
        """Store the position and end records in one step, if all are still this process's."""

        def change(state: dict[str, Any]) -> bool:
            own = [state["held"].get(str(n), [""])[0] == self._name for n in numbers]
            if state["tokens"][self._shard] != self._token or not all(own):
                return False
            for number in numbers:
                del state["held"][str(number)]
            state["positions"][self._shard] = position
            return True

        return self._changed(change)

    def load(self) -> dict[str, Any]:
        return {"tokens": {}, "positions": {}, "next": 0, "held": {}, **super().load()}

    def _changed(self, change: Callable[[dict[str, Any]], T]) -> T:
        with self._locked():
            state = self.load()
            found = change(state)
            self._save(state)
        return found


def _may_go(who: str, count: int) -> bool:
    """Tell whether a record may be taken from somebody: for ever from one who is dead, or paused."""
    if count < MOST or not who:
        return True
    try:
        state = Path("/proc", who.split(maxsplit=1)[0], "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "TZ"


class Writing:
    """Write what the queue hands out, as the runner does."""

    def __init__(self, sink: SharedLedgerSink, queue: Queue, strike: SinkStrike, without: str) -> None:
        self._sink = sink
        self._queue = queue
        self._strike = strike
        self._goes_on = without == "reading anew"
        self._batches = 0

    def open(self) -> None:
        """Open the sink until it works."""
        while True:
            if not self._queue.still():
                sys.exit("lost")
            try:
                position = self._queue.position()
                self._sink.take(self._queue.shard, self._queue.positions())
                with self._strike.armed():
                    position = self._sink.open(position, still=self._still)
            except TargetUnavailableError:
                continue
            if not self._queue.store(position):
                sys.exit("lost")
            return

    def write(self, numbers: list[int], *, again: bool) -> None:
        """Write and settle a batch; where that fails give it back, and open anew before anything is read."""
        self._batches += 1
        self._strike.at(self._batches, written=False)
        batch = Batch([{"id": n, "pad": "x" * (n % 50)} for n in numbers], [f"read:{n}" for n in numbers])
        while True:
            try:
                with self._strike.armed():
                    position = (self._sink.write_again if again else self._sink.write)(batch).position
            except TargetUnavailableError:
                if not self._goes_on:
                    break
                self.open()
            else:
                self._strike.at(self._batches, written=True)
                if self._queue.settle(numbers, position):
                    return
                break
        self._queue.hand_back()
        self.open()

    def _still(self) -> bool:
        with self._strike.disarmed():
            return self._queue.still()


def main(kind: str, root: Path, given: dict[str, Any]) -> None:
    draw = random.Random(given["seed"])
    queue = Queue(root, given["total"], given["shard"])
    found = connector("sink", kind)
    sink = found.made(found.options(**given["options"]), pipeline="p", stage="out", root=root)
    assert isinstance(sink, SharedLedgerSink)
    switch_off(given["without"])
    queue.own()
    strike = SinkStrike(signal.Signals[given["signal"]], given["call"])
    writing = Writing(sink, queue, strike, given["without"])
    writing.open()
    while (got := queue.hand_out(draw)) is not None:
        numbers, again = got
        if numbers:  # else others have the last ones in hand
            writing.write(numbers, again=again)
    sink.close()


def switch_off(what: str) -> None:
    if what == "epochs":
        fenced = Row.fenced
        Row.fenced = lambda self, taken=(): replace(  # type: ignore[method-assign]
            fenced(self, taken), epoch=self.epoch
        )
    elif what == "ids":
        Row.ids = lambda self, position=None: set()  # type: ignore[method-assign]


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), json.loads(os.environ["GIVEN"]))
    except SinkError as exc:
        sys.exit(f"refused: {exc}")
