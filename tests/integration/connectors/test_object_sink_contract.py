"""
What the sink `objects` guarantees: each record in one part, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_object_sink_contract.py` strikes more often.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.object_store import Bucket, ObjectStore, bucket, object_store

__all__ = ["bucket", "object_store"]

TOTAL = 1_000
STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = os.environ.get("SEED", "1")


class Writer:
    """A process that writes through the sink; see object_writer.py."""

    def __init__(
        self,
        bucket: Bucket,
        root: Path,
        *,
        kind: str = "SIGKILL",
        call: int = 0,
        seed: str = "",
        without: str = "",
    ) -> None:
        options = {**bucket.settings, "url": bucket.url("o/{part}.jsonl"), "timeout": "2s"}
        given: dict[str, Any] = {"total": TOTAL, "signal": kind, "call": call, "seed": seed}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.connectors.object_writer", str(root)],
            env={**os.environ, "GIVEN": json.dumps({**given, "without": without, "options": options})},
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


def ids(bucket: Bucket) -> list[int]:
    """List the records in the parts, whose numbers have no gap."""
    objects = bucket.objects()
    assert sorted(objects) == [f"o/{n + 1:08}.jsonl" for n in range(len(objects))]
    return [json.loads(line)["id"] for data in objects.values() for line in data.splitlines()]


def struck(bucket: Bucket, root: Path, strikes: int, seed: str) -> tuple[int, int]:
    """Kill writers, and pause every third beside its successor; return how many of each there were."""
    draw = random.Random(seed)
    kills = pauses = 0
    for number in range(strikes):
        call = draw.choice([draw.randint(1, 2_500), -draw.randint(1, 10)])
        own = f"{seed} {number}"
        if number % 3:
            kills += Writer(bucket, root, call=call, seed=own).end()[0] == -signal.SIGKILL
            continue
        paused = Writer(bucket, root, kind="SIGSTOP", call=call, seed=own)
        if not paused.stopped():
            paused.end()
            continue
        pauses += 1
        successor = Writer(bucket, root, call=draw.randint(500, 2_500), seed=own + "s")
        try:
            code, said = successor.end()
        finally:
            paused.resume()
        assert code in (0, -signal.SIGKILL), said
        kills += code == -signal.SIGKILL
        code, said = paused.end()
        assert code == 1, "the paused writer went on as if nothing had happened"
    return kills, pauses


@pytest.mark.parametrize(("without", "batch"), [("carried", 3), ("begun", 3), ("condition", 4)])
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_with_a_safety_of_the_object_sink_switched_off_records_are_lost_or_doubled(
    bucket: Bucket, tmp_path: Path, without: str, batch: int
) -> None:
    paused = Writer(bucket, tmp_path, kind="SIGSTOP", call=-batch, seed="a", without=without)
    assert paused.stopped()
    try:
        Writer(bucket, tmp_path, seed="b", without=without).end()
    finally:
        paused.resume()
    paused.end()

    assert sorted(ids(bucket)) != list(range(TOTAL))


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_one_object_whoever_is_killed_or_paused(
    object_store: ObjectStore, tmp_path: Path
) -> None:
    kills = pauses = rounds = lost = doubled = 0
    while kills + pauses < STRIKES:
        root, own = tmp_path / str(rounds), object_store.bucket()
        root.mkdir()
        more = struck(own, root, min(12, STRIKES - kills - pauses), f"{SEED} {rounds}")
        kills, pauses, rounds = kills + more[0], pauses + more[1], rounds + 1
        code, said = Writer(own, root, seed=SEED).end()
        assert code == 0, said
        found = ids(own)
        lost += len(set(range(TOTAL)) - set(found))
        doubled += len(found) - len(set(found))

    print(f"objects: seed {SEED}, {kills} kills, {pauses} pauses: {lost} lost, {doubled} doubled")
    assert (lost, doubled) == (0, 0)
