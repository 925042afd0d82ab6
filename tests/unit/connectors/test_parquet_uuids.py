"""The footer of a Parquet file that is damaged names no UUIDs, or others, and raises nothing."""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import pytest

from rsq_pipe.connectors.parquet.uuids import uuids_of


@pytest.fixture
def footer(tmp_path: Path) -> bytes:
    path = tmp_path / "x.parquet"
    with duckdb.connect() as database:
        database.execute(f"copy (select 1 as i, uuid() as u, [{{'a': 1.5, 'v': uuid()}}] as l) to '{path}'")
    whole = path.read_bytes()
    return whole[-8 - int.from_bytes(whole[-8:-4], "little") : -8]


def test_each_leaf_that_holds_uuids_is_found(footer: bytes) -> None:
    assert uuids_of(footer) == {"u": (True,), "l": (False, True)}


def test_a_damaged_footer_raises_nothing(footer: bytes) -> None:
    chance = random.Random(7)
    for length in range(len(footer)):
        uuids_of(footer[:length])
    for _ in range(5_000):
        damaged = bytearray(footer)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(min(300, len(damaged)))] = chance.randrange(256)
        uuids_of(bytes(damaged))
