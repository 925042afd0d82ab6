"""A server that stands still for as long as a lease lasts costs no sink a record, whoever writes then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
PATIENCE = FREEZES * (2 * LEASE + 10) + 60
"""Seconds one storm may take."""


@contextmanager
def frozen(root: Path, seed: int, sabotage: str = "none") -> Iterator[Storm]:
    """Run a pipeline in two processes while its server freezes again and again."""
    with (
        StreamServer(binaries()["valkey"], appendonly=True) as server,
        Storm(root, server, seed=seed, count=RECORDS, processes=2, sabotage=sabotage, lease=LEASE) as storm,
    ):
        for _ in range(FREEZES):
            storm.flow()
            storm.freeze_server()
        storm.flow()
        yield storm


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.timeout(PATIENCE)
def test_a_server_that_freezes_for_as_long_as_a_lease_costs_no_sink_a_record_and_ends_no_run(
    tmp_path: Path, seed: int
) -> None:
    with frozen(tmp_path / "p", seed) as storm:
        codes = storm.codes()
        storm.settle_down()
        account = storm.account()
        log = storm.log()

    assert codes <= {None, 0, 4}, f"seed {seed}: {log[-3000:]}"
    assert account.is_clean, f"seed {seed}: {account}\n{log[-2000:]}"


@pytest.mark.timeout(12 * PATIENCE)
def test_where_a_file_is_opened_before_its_earlier_writers_are_fenced_off_the_freezes_show_it(
    tmp_path: Path,
) -> None:
    for seed in range(200, 212):
        with frozen(tmp_path / str(seed), seed, sabotage="open_before_fencing") as storm:
            if "is not the file this pipeline wrote" in storm.log():
                return
    pytest.fail("twelve storms harmed no file: the freezes are too mild to show what they are for")
