"""From topic to topic each message goes once, whoever is killed or paused; a missing safety is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.kafka_storm import KafkaStorm
from tests.support.kafka import KafkaBroker, kafka
from tests.support.server import StreamServer, binaries

__all__ = ["kafka"]

pytestmark = pytest.mark.chaos

ACTS = int(os.environ.get("CHAOS_ACTS", "9"))
SEEDS = [int(seed) for seed in os.environ.get("CHAOS_SEEDS", "1 2").split()]

NEXT_ACT = 2.5
"""Seconds until it strikes again, whether messages came through or not."""


@pytest.fixture
def durable_server() -> Iterator[StreamServer]:
    """A server that keeps all it has accepted."""
    with StreamServer(binaries()["valkey"], appendonly=True, config={"appendfsync": "always"}) as server:
        yield server


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(6 * ACTS + 240)
def test_each_message_enters_once_whoever_is_killed(
    tmp_path: Path, durable_server: StreamServer, kafka: KafkaBroker, seed: int
) -> None:
    with KafkaStorm(tmp_path / "p", durable_server, kafka, seed=seed, count=ACTS * 400, processes=3) as storm:
        acts = storm.rage(ACTS, KafkaStorm.kill, KafkaStorm.pause, KafkaStorm.pause, patience=NEXT_ACT)
        storm.settle_down()

        found = storm.doubled_and_lost()
        print(f"seed {seed}: {acts} kills and pauses: {found[1]} lost, {found[0]} doubled")
        assert found == (0, 0), storm.log()[-3000:]


@pytest.mark.timeout(600)
def test_without_looking_at_the_position_messages_enter_twice(
    tmp_path: Path, durable_server: StreamServer, kafka: KafkaBroker
) -> None:
    doubled = 0
    for seed in range(1, 6):
        with KafkaStorm(
            tmp_path / f"p{seed}",
            durable_server,
            kafka,
            seed=seed,
            count=3_000,
            processes=3,
            sabotage="ingest_without_looking_at_the_position",
        ) as storm:
            storm.rage(9, KafkaStorm.pause, patience=NEXT_ACT)
            storm.settle_down()
            doubled, _ = storm.doubled_and_lost()
        if doubled:
            break

    assert doubled
