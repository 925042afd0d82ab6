"""
What a sink of several writers guarantees: each record once, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_shared_ledger.py` strikes more often.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.connectors.struck_writer import TOTAL, Place, Writer, each_once, struck
from tests.support.postgres import PostgresServer

STRIKES = int(os.environ.get("STRIKES", "18"))
SEED = os.environ.get("SEED", "1")
SHARDS = 3


@pytest.fixture
def place(postgres: PostgresServer) -> Place:
    table = f"shared_{os.urandom(6).hex()}"
    postgres.execute(f"create table {table} (id int, pad text)")
    options = {
        "dsn": postgres.dsn,
        "table": table,
        "timeout": "2s",
        "ledger": f"{table}_ledger",
        "writers": SHARDS,
    }
    return Place(
        "postgres",
        options,
        lambda: [row[0] for row in postgres.execute(f"select id from {table}")],
        lambda: postgres.execute(f"truncate {table}; truncate {table}_ledger"),
    )


def one_writer_struck(place: Place, root: Path, kind: str, batch: int, without: str) -> list[int]:
    """Strike one writer at a batch, let another write the rest, and wake the first; return what is there."""
    first = Writer(place, root, kind=kind, call=-batch, seed="a", without=without, shard=0)
    if kind == "SIGKILL":
        assert first.end()[0] == -signal.SIGKILL
    else:
        assert first.stopped()
    try:
        code, said = Writer(place, root, seed="b", without=without, shard=1).end()
    finally:
        if kind == "SIGSTOP":
            first.resume()
    assert code == 0, said
    if kind == "SIGSTOP":
        code, said = first.end()
        assert code == 0, said
    return place.ids()


def all_struck(place: Place, root: Path, seed: str) -> tuple[int, int]:
    """Strike the writers of all shards at a time; return how many kills and pauses there were."""
    with ThreadPoolExecutor(SHARDS) as pool:
        jobs = [pool.submit(struck, place, root, 4, f"{seed} {shard}", shard) for shard in range(SHARDS)]
    strikes = [job.result() for job in jobs]
    return sum(kills for kills, _ in strikes), sum(pauses for _, pauses in strikes)


@pytest.mark.parametrize(
    ("kind", "batch", "without"),
    [("SIGKILL", 3, "ids"), ("SIGSTOP", 4, "epochs"), ("SIGSTOP", 4, "reading anew")],
    ids=str,
)
@pytest.mark.chaos
@pytest.mark.timeout(120)
def test_what_one_writer_had_in_hand_another_writes_once_and_without_each_safety_twice(
    place: Place, tmp_path: Path, kind: str, batch: int, without: str
) -> None:
    # Batch 3 is committed in the database and not settled; batch 4 is read and not written.
    roots = [tmp_path / "safe", tmp_path / "unsafe"]
    for root in roots:
        root.mkdir()

    kept = one_writer_struck(place, roots[0], kind, batch, "")
    place.clear()
    found = one_writer_struck(place, roots[1], kind, batch, without)

    assert sorted(kept) == list(range(TOTAL))
    assert len(found) > len(set(found))


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_the_table_once_whichever_of_several_writers_is_killed_or_paused(
    place: Place, tmp_path: Path
) -> None:
    each_once(place, tmp_path, STRIKES, SEED, strike=all_struck, shard=0)
