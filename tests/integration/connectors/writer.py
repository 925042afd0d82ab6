"""A process that writes records 0..n-1 through a sink and commits positions, as the runner does.

It can kill or pause itself at the n-th function call inside the sink: between any two steps, at a point that
a seed chooses. What it commits stands in one file, replaced in one step; a commit is refused unless this
process opened the sink last, as an expired lease would have it.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

ROTATIONS: dict[str, dict[str, Any]] = {"parts": {"size": "500B"}, "records": {"records": 25}}
"""What stands behind `@` in a sink's kind -> when its parts are finished."""


class Store:
    """The position, the number of records committed, and the token of the last opener."""

    def __init__(self, root: Path) -> None:
        self._path = root / "store.json"
        self._lock = root / "store.lock"

    def load(self) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {"position": None, "count": 0, "token": 0}
        return loaded

    def take(self) -> dict[str, Any]:
        """Become the owner."""
        with self._locked():
            state = self.load()
            state["token"] += 1
            self._save(state)
        return state

    def commit(self, state: dict[str, Any]) -> bool:
        """Store a state, unless somebody else is the owner by now."""
        with self._locked():
            if self.load()["token"] != state["token"]:
                return False
            self._save(state)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _save(self, state: dict[str, Any]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self._path)


class Strike:
    """Send this process a signal at the n-th call inside the sink."""

    def __init__(self, kind: signal.Signals, call: int) -> None:
        self._kind = kind
        self._left = call

    @contextmanager
    def disarmed(self) -> Iterator[None]:
        sys.setprofile(None)
        try:
            yield
        finally:
            sys.setprofile(self._count)

    @contextmanager
    def armed(self) -> Iterator[None]:
        sys.setprofile(self._count)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, arg: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), self._kind)


def main(kind: str, root: Path, total: int, signal_name: str, call: int) -> None:
    strike = Strike(signal.Signals[signal_name], call)
    rng = random.Random(call)
    store = Store(root)
    name, _, parts = kind.partition("@")
    found = connector("sink", name.partition(".")[0])
    assert found.connect is not None
    options = {"path": f"out/x.{name}", **({"rotate": ROTATIONS[parts]} if parts else {})}
    sink = found.connect(found.options(**options), stage="out", root=root)
    state = store.take()

    def still() -> bool:
        with strike.disarmed():
            return bool(store.load()["token"] == state["token"])

    with strike.armed():
        state["position"] = sink.open(state["position"], still=still)
    if not store.commit(state):
        sys.exit("lost")
    while state["count"] < total:
        end = min(total, state["count"] + rng.randint(1, 20))
        numbers = range(state["count"], end)
        batch = Batch([{"id": n, "pad": "x" * (n % 50)} for n in numbers], [f"read:{n}" for n in numbers])
        with strike.armed():
            written = sink.write(batch)
        state |= {"position": written.position, "count": end}
        if not store.commit(state):
            sys.exit("lost")
        with strike.armed():
            sink.stored()
    with strike.armed():
        sink.close()


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
    except SinkError as exc:
        sys.exit(f"refused: {exc}")
    except TargetBusyError as exc:
        sys.exit(f"busy: {exc}")
