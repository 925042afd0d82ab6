"""Benchmarks compare round by round, and a contender that fails is not a figure."""

from __future__ import annotations

import time

import pytest

from benchmarks.measure import BenchmarkError, Figures, alone
from benchmarks.table import Table


def table(peer: list[float], own: list[float]) -> Table:
    rounds = {name: [{"records/s": rate} for rate in rates] for name, rates in (("peer", peer), ("own", own))}
    return Table("hops", "three stages", "peer", (), rounds)


def test_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine was ten times slower in the second round: the ratio of the medians would be 2.
    found = table([100.0, 10.0, 100.0], [300.0, 30.0, 200.0])

    assert found.ratios("own") == {"records/s": 3.0}


def test_table_shows_median_least_most_and_ratio() -> None:
    shown = str(table([100.0, 110.0, 120.0], [1000.0, 1100.0, 1200.0])).splitlines()

    assert shown[1] == "three stages; x: beside peer"
    assert shown[2].split() == ["records/s", "x", "records/s"]
    assert shown[4].split() == ["own", "1,100", "(1,000-1,200)", "10.00"]


def test_facts_hold_every_round() -> None:
    facts = table([1.0, 3.0, 2.0], [4.0, 4.0, 4.0]).facts()["contenders"]["peer"]

    assert facts["rounds"] == [{"records/s": 1.0}, {"records/s": 3.0}, {"records/s": 2.0}]
    assert (facts["median"], facts["min"], facts["max"]) == (
        {"records/s": 2.0},
        {"records/s": 1.0},
        {"records/s": 3.0},
    )


def quick() -> Figures:
    return {"records/s": 1.0}


def broken() -> Figures:
    raise ValueError("no stream of that name")


def hanging() -> Figures:
    time.sleep(60)
    return {}


@pytest.mark.parametrize("fresh", [True, False])
def test_job_in_a_process_of_its_own_returns_figures(fresh: bool) -> None:
    assert alone(quick, 30, fresh=fresh) == {"records/s": 1.0}


@pytest.mark.parametrize("fresh", [True, False])
def test_job_that_fails_is_an_error_with_its_reason(fresh: bool) -> None:
    with pytest.raises(BenchmarkError, match="no stream of that name"):
        alone(broken, 30, fresh=fresh)


@pytest.mark.parametrize("patience", [0, 2], ids=["before it begins", "while it runs"])
@pytest.mark.parametrize("fresh", [True, False])
def test_job_that_hangs_is_ended(fresh: bool, patience: float) -> None:
    began = time.monotonic()

    with pytest.raises(BenchmarkError, match="did not end within"):
        alone(hanging, patience, fresh=fresh)

    assert time.monotonic() - began < 30
