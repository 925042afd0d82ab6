"""Two processes open one file, the first paused at each of its steps in turn: nothing committed is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

from rsq_pipe.connectors.files import owned_file
from rsq_pipe.connectors.sink import Sink, TargetBusyError
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Sink]
MakeBatch = Callable[..., Batch]

BOTH = '{"id":1}\n{"id":2}\n'
_SINKS = "rsq_pipe/connectors/files/"
ENOUGH = 1_000  # more calls than an opening makes


class Opening(threading.Thread):
    """Open a sink, and pause at the n-th call of a function there."""

    def __init__(self, sink: Sink, position: str, call: int) -> None:
        super().__init__()
        self._arguments = (sink, position)
        self._left = call
        self.reached, self.released = threading.Event(), threading.Event()
        self.paused = self.opened = False
        self.is_last = True
        self.start()
        assert self.reached.wait(10)

    def run(self) -> None:
        sink, position = self._arguments
        sys.setprofile(self._count)
        try:
            sink.open(position, still=lambda: self.is_last)
            self.opened = True
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
        opening = Opening(paused, position, call)

        opening.is_last = False
        if predecessor == "gone_meanwhile":
            first.close()
        successor.open(position)
        position = successor.write(batch({"id": 2})).position
        opening.end()
        if opening.opened:
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
            with pytest.raises(TargetBusyError, match=rf"^process {other.pid} .* is opening .*kill -CONT"):
                made.open(None)
        finally:
            other.kill()

    made.open(None)
