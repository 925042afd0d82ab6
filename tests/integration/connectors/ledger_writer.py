"""
A process that writes records through a sink by the ledger, as the runner does, and can kill or pause itself.

What was not committed comes again as the runner would bring it: in other batches, in another order. With
`without` it runs with a check of the ledger switched off.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.ledger.ledger import Ledger
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.integration.connectors.writer import Store, Strike

ATTEMPTS = 5


class SinkStrike(Strike):
    """
    Strike as the other; or, for a negative number, at that batch.

    An odd one once it is committed in the database, and not settled; an even one just before it is written.
    """

    def __init__(self, kind: signal.Signals, call: int) -> None:
        super().__init__(kind, call)
        self._batch = -call

    @contextmanager
    def armed(self) -> Iterator[None]:
        """Count what threads do as well, that begin while it is armed: some sinks do their work in one."""
        threading.setprofile(self._count)
        with super().armed():
            yield

    def at(self, batch: int, *, written: bool) -> None:
        if self._batch == batch and bool(batch % 2) == written:
            os.kill(os.getpid(), self._kind)


def main(kind: str, root: Path, given: dict[str, Any]) -> None:
    draw = random.Random(given["seed"])
    strike = SinkStrike(signal.Signals[given["signal"]], given["call"])
    store = Store(root)
    found = connector("sink", kind)
    sink = found.made(found.options(**given["options"]), pipeline="p", stage="out", root=root)
    switch_off(given["without"], sink)
    state = store.take()
    left = sorted(set(range(given["total"])) - set(state.get("done", ())))

    def still() -> bool:
        with strike.disarmed():
            return bool(store.load()["token"] == state["token"])

    def begin() -> None:
        if not still():
            sys.exit("lost")
        with strike.armed():
            state["position"] = sink.open(state["position"], still=still)
        if not store.commit(state):
            sys.exit("lost")

    again(begin)
    batches = 0
    while left:
        some = draw.sample(left, min(len(left), draw.randint(1, 20)))
        batch = Batch([{"id": n, "pad": "x" * (n % 50)} for n in some], [f"read:{n}" for n in some])

        batches += 1
        strike.at(batches, written=False)

        def write(batch: Batch = batch) -> str:
            with strike.armed():
                return str(sink.write(batch).position)

        try:
            position = write()
        except TargetUnavailableError:
            again(begin)
            continue
        strike.at(batches, written=True)
        left = sorted(set(left) - set(some))
        state |= {"position": position, "done": sorted(set(range(given["total"])) - set(left))}
        if not store.commit(state):
            sys.exit("lost")
    sink.close()


def again(begin: Callable[[], None]) -> None:
    """Open until it works, or nearly."""
    last = ""
    for _ in range(ATTEMPTS):
        try:
            return begin()
        except TargetUnavailableError as exc:
            last = str(exc)
    sys.exit(f"busy: {last}")


def switch_off(what: str, sink: Any) -> None:
    if what == "rids":
        Ledger.unwritten = lambda self, rids: range(len(rids))  # type: ignore[method-assign]
    elif what == "epoch" and hasattr(sink, "_producer"):
        sink._id += os.urandom(6).hex()
    elif what == "epoch" and hasattr(sink, "_commands"):
        words = sink._words
        sink._words = lambda *given: [sink._row().epoch, *words(*given)[1:]]
    elif what == "epoch":
        sink._database.advance = lambda row: sink._database.replace(row) or True
        sink._database._end_former = lambda: None


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), json.loads(os.environ["GIVEN"]))
    except SinkError as exc:
        sys.exit(f"refused: {exc}")
