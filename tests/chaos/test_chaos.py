"""Whatever is killed and paused, each record ends where it belongs, once; and the checker would notice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.storm import PATIENCE, Storm
from tests.support.server import StreamServer, binaries

pytestmark = pytest.mark.chaos

ACTS = int(os.environ.get("CHAOS_ACTS", "9"))
"""How often a storm strikes; `CHAOS_ACTS=500` for a long night."""

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1 2").split()]

RECORDS_AN_ACT = 120
"""So many that the work outlasts the storm."""


@pytest.fixture
def durable_server() -> Iterator[StreamServer]:
    """A server that keeps all it has accepted, also when it is killed."""
    config = {"appendfsync": "always"}
    with StreamServer(binaries()["valkey"], appendonly=True, config=config) as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fuse", [True, False], ids=["fused", "apart"])
@pytest.mark.timeout(PATIENCE * ACTS + 180)
def test_nothing_is_lost_or_duplicated_or_condemned(
    tmp_path: Path, durable_server: StreamServer, seed: int, *, fuse: bool
) -> None:
    count = ACTS * RECORDS_AN_ACT
    with Storm(tmp_path / "p", durable_server, seed=seed, count=count, processes=3, fuse=fuse) as storm:
        storm.rage(ACTS, Storm.kill, Storm.pause, Storm.pause, Storm.kill_server)
        storm.settle_down()

        account = storm.account()
        assert account.is_clean, f"seed {seed}: {account}\n{storm.log()[-2000:]}"


@pytest.mark.parametrize(
    ("sabotage", "acts"),
    [
        ("settle_in_two_steps", [Storm.kill]),
        ("settle_what_others_own", [Storm.pause]),
        ("ingest_without_looking_at_the_position", [Storm.pause, Storm.kill_server]),
        ("append_behind_uncommitted_lines", [Storm.kill]),
    ],
)
@pytest.mark.timeout(900)
def test_without_one_of_its_safeties_records_are_lost_or_duplicated_and_the_checker_notices(
    tmp_path: Path, durable_server: StreamServer, sabotage: str, acts: list[Callable[[Storm], None]]
) -> None:
    for seed in range(100, 112):
        with Storm(
            tmp_path / str(seed), durable_server, seed=seed, count=900, processes=2, sabotage=sabotage
        ) as storm:
            storm.rage(8, *acts)
            storm.settle_down()
            account = storm.account()
        if account.lost or account.duplicated:
            return
    pytest.fail(f"twelve storms without {sabotage} harmed nothing: the checker, or the storm, is too mild")
