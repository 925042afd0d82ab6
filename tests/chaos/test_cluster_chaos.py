"""Slots that move, masters that die, replicas that take over: they cost a running pipeline time only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from tests.chaos.cluster_storm import PATIENCE, ClusterStorm, Served
from tests.support.cluster import Cluster
from tests.support.server import binaries

pytestmark = pytest.mark.chaos

ACTS = int(os.environ.get("CHAOS_CLUSTER_ACTS", "3"))
"""How often a storm strikes; `CHAOS_CLUSTER_ACTS=20` for a long profile."""

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1").split()]

RECORDS_AN_ACT = 400
"""So many that the work outlasts the storm."""

Act = Callable[[ClusterStorm], None]


@pytest.fixture(params=binaries())
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with Cluster(binaries()[request.param], durable=True, timeout=1_000) as running:
        yield running


@pytest.fixture
async def replicated(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    async with Cluster(binaries()["valkey"], durable=True, replicas=True, timeout=1_000) as running:
        yield running


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(30 * ACTS + 120)
async def test_moving_slots_and_dying_masters_cost_time_only(
    tmp_path: Path, cluster: Cluster, seed: int
) -> None:
    await _storm(tmp_path, cluster, seed, [ClusterStorm.move_slot, ClusterStorm.kill_master])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(30 * ACTS + 120)
async def test_a_replica_that_takes_over_is_followed(tmp_path: Path, replicated: Cluster, seed: int) -> None:
    acts = [ClusterStorm.fail_over, ClusterStorm.move_slot, ClusterStorm.kill_master]
    await _storm(tmp_path, replicated, seed, acts)


async def _storm(root: Path, cluster: Cluster, seed: int, acts: Sequence[Act]) -> None:
    served = Served(cluster, cluster.full_url, asyncio.get_running_loop())
    with ClusterStorm(root / "p", served, seed=seed, count=ACTS * RECORDS_AN_ACT, processes=2) as storm:
        await asyncio.to_thread(storm.until_up)
        done = await asyncio.to_thread(storm.rage, ACTS, *acts, patience=PATIENCE)
        await asyncio.to_thread(storm.finish)

        account = await asyncio.to_thread(storm.account)
        print(f"seed {seed}: {done} acts; {account}")
        assert account.is_clean, f"seed {seed}: {account}\n{storm.log()[-2000:]}"
        assert done == ACTS, "the work was over before the storm"
