"""
What every sink by the ledger guarantees: each record once, whoever is killed or paused, and when.

`STRIKES=120 SEED=7 pytest tests/integration/connectors/test_ledger_contract.py` strikes more often.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.connectors.ledger_places import KINDS, place
from tests.integration.connectors.struck_writer import TOTAL, Place, Writer, each_once

__all__ = ["place"]

STRIKES = int(os.environ.get("STRIKES", "12"))
SEED = os.environ.get("SEED", "1")


@pytest.mark.parametrize("place", [kind for kind in KINDS if kind != "duckdb"], indirect=True)
@pytest.mark.parametrize(("without", "batch"), [("rids", 3), ("epoch", 4)])
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_with_a_check_of_the_ledger_switched_off_records_are_doubled(
    place: Place, tmp_path: Path, without: str, batch: int
) -> None:
    paused = Writer(place, tmp_path, kind="SIGSTOP", call=-batch, seed="a", without=without)
    assert paused.stopped()
    try:
        Writer(place, tmp_path, seed="b", without=without).end()
    finally:
        paused.resume()
    paused.end()

    found = place.ids()
    assert len(found) > len(set(found))


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.chaos
def test_without_the_carried_ids_a_killed_writers_records_are_doubled_in_a_file_of_one_process(
    place: Place, tmp_path: Path
) -> None:
    assert Writer(place, tmp_path, call=-3, seed="a", without="rids").end()[0] == -signal.SIGKILL
    assert Writer(place, tmp_path, seed="b", without="rids").end()[0] == 0

    assert len(place.ids()) > len(set(place.ids()))


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_paused_writer_keeps_all_others_out_of_a_file_of_one_process(place: Place, tmp_path: Path) -> None:
    # So there is no writer beside it that an epoch would have to fence off.
    paused = Writer(place, tmp_path, kind="SIGSTOP", call=-4, seed="a")
    assert paused.stopped()
    try:
        code, said = Writer(place, tmp_path, seed="b").end()
    finally:
        paused.resume()

    assert code == 1
    assert said.startswith("busy")
    assert paused.end()[1].startswith("lost")  # it has been taken over meanwhile
    assert Writer(place, tmp_path, seed="c").end()[0] == 0
    assert sorted(place.ids()) == list(range(TOTAL))


@pytest.mark.chaos
@pytest.mark.timeout(60 + 10 * STRIKES)
def test_each_record_stands_in_the_table_once_whoever_is_killed_or_paused(
    place: Place, tmp_path: Path
) -> None:
    each_once(place, tmp_path, STRIKES, SEED)
