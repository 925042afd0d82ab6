"""
A process that writes records through the sink `objects`, as the runner does, and can kill or pause itself.

What was not committed comes again as the runner would bring it: in other batches, in another order. With
`without` it runs with a safety of the sink switched off.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.objects.bucket import Bucket, MissingError
from rsq_pipe.connectors.objects.partitioned_parts import PartitionedParts
from rsq_pipe.connectors.objects.progress import Attempt, Progress
from rsq_pipe.connectors.sink import TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.integration.connectors.ledger_writer import SinkStrike, again
from tests.integration.connectors.writer import Store

REFUSED = 20
"""Batches in a row that find their part taken, after which a writer without a safety gives up."""


def main(root: Path, given: dict[str, Any]) -> None:
    draw = random.Random(given["seed"])
    strike = SinkStrike(signal.Signals[given["signal"]], given["call"])
    store = Store(root)
    found = connector("sink", "objects")
    sink = found.made(found.options(**given["options"]), pipeline="p", stage="out", root=root)
    switch_off(given["without"])
    state = store.take()
    left = sorted(set(range(given["total"])) - set(state.get("done", ())))

    def still() -> bool:
        with strike.disarmed():
            return bool(store.load()["token"] == state["token"])

    def keep() -> None:
        if not store.commit(state):
            sys.exit("lost")

    def begin() -> None:
        if not still():
            sys.exit("lost")
        with strike.armed():
            state["position"] = sink.open(state["position"], still=still)
        keep()

    again(begin)
    batches = refused = 0
    while left:
        some = draw.sample(left, min(len(left), draw.randint(1, 60)))
        batch = Batch(
            [{"id": n, "kind": n % 3, "pad": "x" * (n % 50)} for n in some], [f"read:{n}" for n in some]
        )
        batches += 1

        try:
            with strike.armed():
                prepared = sink.prepare(batch)
            if given["without"] != "begun":
                state["position"] = prepared
                keep()
            strike.at(batches, written=False)
            with strike.armed():
                position = sink.write(batch).position
        except TargetUnavailableError as exc:
            refused += 1
            if given["without"] and refused == REFUSED:  # without that safety it never goes on
                sys.exit(f"busy: {exc}")
            again(begin)
            continue
        refused = 0
        strike.at(batches, written=True)
        left = sorted(set(left) - set(some))
        state |= {"position": position, "done": sorted(set(range(given["total"])) - set(left))}
        keep()
        with strike.armed():
            sink.stored()
    sink.close()


def switch_off(what: str) -> None:
    if what == "condition":
        put: Callable[..., None] = Bucket.put

        def over(self: Bucket, path: str, data: bytes, **settings: Any) -> None:
            self.delete(path)
            put(self, path, data, **settings)

        Bucket.put = over  # type: ignore[method-assign]
    elif what == "carried":
        Progress.known = lambda self: frozenset()  # type: ignore[method-assign]
    elif what == "begun":
        Progress.seen = lambda self, part: Progress(self.next + 1)  # type: ignore[method-assign]
        Progress.decided = lambda self, existing: Progress(self.next + 1)  # type: ignore[method-assign]
    elif what == "decided":
        PartitionedParts._exists = _is_there  # type: ignore[method-assign]


def _is_there(self: PartitionedParts, attempt: Attempt) -> bool:
    """Look for a part, and do nothing about a name that is not used yet."""
    try:
        return self._series.bucket.part(attempt.name) == attempt.part
    except MissingError:
        return False


if __name__ == "__main__":
    try:
        main(Path(sys.argv[2]), json.loads(os.environ["GIVEN"]))
    except SinkError as exc:
        sys.exit(f"refused: {exc}")
