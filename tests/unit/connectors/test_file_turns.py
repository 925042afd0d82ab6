"""Two processes open one file, the first paused at each of its steps in turn: nothing committed is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import pytest

from rsq_pipe.connectors.files import owned_file
from rsq_pipe.connectors.sink import Sink, TargetBusyError
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Any]
MakeBatch = Callable[..., Batch]

BOTH = '{"id":1}\n{"id":2}\n'
_SINKS = "rsq_pipe/connectors/files/"
ENOUGH = 1_000  # more calls than an opening makes


class Paused(threading.Thread):
    """Do something with a sink, and pause at the n-th call of a function there."""

    def __init__(self, act: Callable[[Callable[[], bool]], object], call: int) -> None:
        super().__init__()
        self._act = act
        self._left = call
        self.reached, self.released = threading.Event(), threading.Event()
        self.paused = self.done = False
        self.is_last = True
        self.start()
        assert self.reached.wait(10)

    def run(self) -> None:
        sys.setprofile(self._count)
        try:
            self._act(lambda: self.is_last)
            self.done = True
        except (SinkError, TargetBusyError):
            pass
        finally:
            sys.setprofile(None)
            self.reached.set()

    def end(self) -> None:
        self.released.set()
        self.join(10)
        assert not self.is_alive()

    def _count(self, frame: FrameType, event: str, arg: object) -> None:
        # Further down may be locks that the other opening needs in this process: the log's, say.
        here = _SINKS in frame.f_code.co_filename
        here = here or (frame.f_back is not None and _SINKS in frame.f_back.f_code.co_filename)
        self._left -= here and event in ("call", "c_call")
        if self._left == 0 and not self.paused:
            self.paused = True
            self.reached.set()
            self.released.wait(10)


@pytest.mark.parametrize("predecessor", ["gone", "paused", "gone_meanwhile"])
def test_a_writer_paused_at_any_step_of_its_opening_undoes_nothing_its_successor_commits(
    tmp_path: Path, sink: Make, batch: MakeBatch, predecessor: str
) -> None:
    path = tmp_path / "x.jsonl"
    for call in range(1, ENOUGH):
        path.unlink(missing_ok=True)
        first, paused, successor = (sink("jsonl", path="x.jsonl", fsync=False) for _ in range(3))
        first.open(None)
        position = first.write(batch({"id": 1})).position
        if predecessor == "gone":
            first.close()
        opening = Paused(partial(opened, paused, position), call)

        opening.is_last = False
        if predecessor == "gone_meanwhile":
            first.close()
        successor.open(position)
        position = successor.write(batch({"id": 2})).position
        opening.end()
        if opening.done:
            with pytest.raises(SinkError):
                paused.write(batch({"id": "never committed"}))

        assert path.read_text() == BOTH, f"paused at call {call}"
        successor.close()
        paused.close()
        first.close()
        sink("jsonl", path="x.jsonl").open(position)
        assert path.read_text() == BOTH, f"paused at call {call}"
        if not opening.paused:
            return
    pytest.fail("an opening has more calls than it is paused at")


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize("step", ["opens", "finishes"])
def test_a_writer_paused_at_any_step_with_a_part_keeps_nobody_waiting_and_undoes_nothing(
    tmp_path: Path, sink: Make, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch, kind: str, step: str
) -> None:
    monkeypatch.setattr(owned_file, "PATIENCE", 0)
    for call in range(1, ENOUGH):
        root = tmp_path / str(call)
        settings = {"path": f"{call}/x.{kind}", "fsync": False, "rotate": {"records": 2}}
        former, successor, last = (sink(kind, **settings) for _ in range(3))
        latest = [1]
        former.open(None, still=partial(is_latest, latest, 1))
        position = former.write(batch({"id": 1}, {"id": 2})).position
        former.stored()
        other = sink(kind, **settings)
        acting = Paused(
            partial(opened, other, position) if step == "opens" else partial(closed, former), call
        )

        latest[0] = 2
        acting.is_last = False
        successor.open(position, still=partial(is_latest, latest, 2))
        position = successor.write(batch({"id": 3})).position
        successor.stored()
        acting.end()
        successor.close()
        last.open(position)
        last.write(batch({"id": 4}))
        last.stored()
        last.close()

        assert ids(root) == [1, 2, 3, 4], f"paused at call {call}"
        assert not [*root.glob(".*.made"), *root.glob(".*.takeover")]
        former.close()
        other.close()
        if not acting.paused:
            return
    pytest.fail("it has more calls than it is paused at")


def is_latest(latest: Sequence[int], epoch: int) -> bool:
    return latest[0] == epoch


def opened(sink: Sink, position: str, still: Callable[[], bool]) -> None:
    sink.open(position, still=still)


def closed(sink: Sink, _: object) -> None:
    sink.close()


def ids(folder: Path) -> list[int]:
    """Read the ids in the parts of a folder, sorted."""
    found: list[int] = []
    for part in folder.glob("[!.]*"):
        if part.suffix == ".parquet":
            found += [number for (number,) in duckdb.read_parquet(str(part)).fetchall()]
        else:
            found += [json.loads(line)["id"] for line in part.read_text().splitlines()]
    return sorted(found)


IN_ITS_TURN = """
import sys
from pathlib import Path
from rsq_pipe.connectors.files.owned_file import folder_turn
with folder_turn(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell who has a lock")
def test_a_process_that_is_paused_in_its_turn_is_named_with_what_to_do(
    tmp_path: Path, sink: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned_file, "PATIENCE", 0)
    made = sink("jsonl", path="x.jsonl", rotate={"records": 10})
    with subprocess.Popen(
        [sys.executable, "-c", IN_ITS_TURN, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, other.pid, os.WSTOPPED)
        try:
            with pytest.raises(TargetBusyError, match=rf"^process {other.pid} .* is opening x.*kill -CONT"):
                made.open(None, fresh=True)
        finally:
            other.kill()

    made.open(None)
