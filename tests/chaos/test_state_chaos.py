"""Whatever is killed, stages with state find what a plain loop finds; and the checker would notice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.dedupe_storm import DedupeStorm
from tests.chaos.join_storm import JoinStorm
from tests.chaos.state_storm import StateStorm
from tests.chaos.storm import Storm
from tests.chaos.window_storm import SessionStorm, WindowStorm
from tests.support.server import StreamServer, binaries

pytestmark = pytest.mark.chaos

KILLS = int(os.environ.get("CHAOS_KILLS", "6"))
PAUSES = int(os.environ.get("CHAOS_PAUSES", "3"))
COUNT = int(os.environ.get("CHAOS_RECORDS", "30000"))
"""`CHAOS_KILLS=30 CHAOS_PAUSES=10 CHAOS_RECORDS=300000` for what the guide states."""

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split()]
KINDS: list[type[StateStorm]] = [DedupeStorm, JoinStorm, WindowStorm, SessionStorm]


@pytest.fixture
def server() -> Iterator[StreamServer]:
    with StreamServer(binaries()["valkey"]) as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(15 * (KILLS + PAUSES) + COUNT // 300 + 120)
def test_kills_and_pauses_change_nothing_of_what_a_plain_loop_finds(
    tmp_path: Path, server: StreamServer, seed: int, kind: type[StateStorm]
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
    ("kind", "sabotage"),
    [(kind, name) for kind in (DedupeStorm, JoinStorm, WindowStorm) for name in kind.sabotages],
)
@pytest.mark.timeout(900)
def test_without_one_of_its_safeties_it_finds_something_else(
    tmp_path: Path, server: StreamServer, kind: type[StateStorm], sabotage: str
) -> None:
    for seed in kind.seeds:
        with kind(
            *(tmp_path / str(seed), server),
            seed=seed,
            count=12_000,
            processes=3,
            sabotage=sabotage,
            lease=kind.lease,
        ) as storm:
            storm.rage(kind.acts, kind.sabotages[sabotage], patience=kind.patience)
            storm.settle_down()
            difference = storm.difference()
        if difference.is_harm:
            print(f"{sabotage}, seed {seed}: {difference}")
            return
    pytest.fail(
        f"{len(kind.seeds)} storms without {sabotage} did no harm: the checker, or the storm, is too mild"
    )
