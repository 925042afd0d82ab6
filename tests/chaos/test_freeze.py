"""A server that stands still for as long as a lease lasts costs no sink a record, whoever writes then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.storm import Storm
from tests.support.server import StreamServer, binaries

pytestmark = pytest.mark.chaos

LEASE = float(os.environ.get("CHAOS_LEASE", "1"))
"""Seconds a lease lasts; `CHAOS_LEASE=10` is the product's own, and freezes the server for 9 to 12 s."""

SEEDS = [int(seed) for seed in os.environ.get("CHAOS_FREEZE_SEEDS", "2 5").split()]

FREEZES = 2
RECORDS = 4_000


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(FREEZES * (2 * LEASE + 10) + 60)
def test_a_server_that_freezes_for_as_long_as_a_lease_costs_no_sink_a_record_and_ends_no_run(
    tmp_path: Path, seed: int
) -> None:
    with (
        StreamServer(binaries()["valkey"], appendonly=True) as server,
        Storm(tmp_path / "p", server, seed=seed, count=RECORDS, processes=2, lease=LEASE) as storm,
    ):
        for _ in range(FREEZES):
            storm.flow()
            storm.freeze_server()
        storm.flow()
        codes = storm.codes()
        storm.settle_down()
        account = storm.account()
        log = storm.log()

    assert codes <= {None, 0, 4}, f"seed {seed}: {log[-3000:]}"
    assert account.is_clean, f"seed {seed}: {account}\n{log[-2000:]}"
