"""Whatever is killed and paused, windows hold what a plain loop counts; and the checker would notice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.storm import Storm
from tests.chaos.window_storm import SessionStorm, WindowStorm
from tests.support.server import StreamServer, binaries

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CHAOS_KILLS", "6"))
PAUSES = int(os.environ.get("CHAOS_PAUSES", "3"))
COUNT = int(os.environ.get("CHAOS_RECORDS", "30000"))
"""`CHAOS_KILLS=30 CHAOS_PAUSES=10 CHAOS_RECORDS=300000` for what the guide states."""

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split()]


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer(binaries()["valkey"]) as server:
        yield server


@pytest.mark.parametrize("kind", [WindowStorm, SessionStorm])
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(15 * (KILLS + PAUSES) + COUNT // 300 + 120)
def test_windows_hold_what_a_plain_loop_counts(
    tmp_path: Path, server: StreamServer, seed: int, kind: type[WindowStorm]
) -> None:
    acts = [Storm.kill] * KILLS + [Storm.pause] * PAUSES
    with kind(tmp_path / "p", server, seed=seed, count=COUNT, processes=3) as storm:
        storm.draw.shuffle(acts)
        done = [act.__name__ for act in acts if storm.rage(1, act, patience=0.6)]
        storm.settle_down(timeout=COUNT / 300 + 60)
        difference = storm.difference()

    hits = f"{done.count('kill')} kills, {done.count('pause')} pauses"
    print(f"{kind.__name__}, seed {seed}: {COUNT:,} records, {hits}: {difference}")
    assert difference.is_none, f"seed {seed}: {difference}"
    assert (done.count("kill"), done.count("pause")) == (KILLS, PAUSES)


@pytest.mark.parametrize(
    ("sabotage", "act"),
    [
        ("change_state_in_a_step_of_its_own", Storm.kill),
        ("close_windows_at_once", Storm.kill),
        ("send_results_unchecked", Storm.pause),
    ],
)
@pytest.mark.timeout(360)
def test_without_one_of_its_safeties_the_windows_differ(
    tmp_path: Path, server: StreamServer, sabotage: str, act: Callable[[Storm], None]
) -> None:
    for seed in range(200, 212):
        with WindowStorm(
            *(tmp_path / str(seed), server),
            seed=seed,
            count=12_000,
            processes=3,
            sabotage=sabotage,
            lease=0.4,  # a pause outlasts it, and what another process does meanwhile
        ) as storm:
            storm.rage(10, act, patience=0.8)
            storm.settle_down()
            difference = storm.difference()
        if not difference.is_none:
            print(f"{sabotage}, seed {seed}: {difference}")
            return
    pytest.fail(f"twelve storms without {sabotage} changed nothing: the checker, or the storm, is too mild")
