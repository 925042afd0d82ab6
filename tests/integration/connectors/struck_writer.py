"""Writers of a sink that are killed and paused, and the table they write."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

TOTAL = 1_000
"""Records that are written."""


class Place:
    """A table of one kind of database, and what stands in it."""

    def __init__(
        self,
        kind: str,
        options: dict[str, Any],
        ids: Callable[[], list[int]],
        clear: Callable[[], Any],
        *,
        calls: int = 2_500,
    ) -> None:
        self.kind = kind
        self.options = options
        self.ids = ids
        self.clear = clear
        self.calls = calls
        """How many calls a sink makes while it writes about a hundred records."""


class Writer:
    """A process that writes through a sink: see ledger_writer.py, and shared_ledger_writer.py for a shard."""

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
        module = "ledger_writer" if shard is None else "shared_ledger_writer"
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.integration.connectors.{module}", place.kind, str(root)],
            env={**os.environ, "GIVEN": json.dumps({**given, "shard": shard, "options": place.options})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def stopped(self) -> bool:
        """Wait until it pauses itself (True) or ends (False)."""
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        return False

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> tuple[int, str]:
        """Wait until it ends; its exit code and what it said."""
        try:
            out, err = self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
        return self._process.returncode, err or out


def struck(place: Place, root: Path, strikes: int, seed: str, shard: int | None = None) -> tuple[int, int]:
    """Kill writers, and pause every third beside its successor; return how many of each there were."""
    draw = random.Random(seed)
    kills = pauses = 0
    for number in range(strikes):
        call = draw.choice([draw.randint(1, place.calls), -draw.randint(1, 20)])
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
        if said.startswith("busy"):  # it waits for one that is paused in a transaction of SQLite's
            paused.end()
            continue
        assert code in (0, -signal.SIGKILL), said
        kills += code == -signal.SIGKILL
        code, said = paused.end()
        assert code == 1, "the paused writer went on as if nothing had happened"
    return kills, pauses
