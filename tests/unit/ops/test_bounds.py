"""Which bounds a pipeline passes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.status import COUNTERS, PipelineStatus, StageStatus

STAGE = StageStatus(
    *("price", "map", "ok"),
    lag=10,
    lag_at_most=10,
    pending=3,
    oldest_seconds=90.0,
    oldest_pending_seconds=60.0,
    retry=1,
    dead=2,
    alive=1,
    gone=0,
    counters=dict.fromkeys(COUNTERS, 0),
)


def status(**changes: object) -> PipelineStatus:
    stage = replace(STAGE, **changes)  # type: ignore[arg-type]
    return PipelineStatus("orders", "db:6379", 100.0, ran=True, changed=False, runs=(), stages=(stage,))


@pytest.mark.parametrize(
    ("bounds", "passed"),
    [
        (Bounds(), []),
        (Bounds(lag=10, oldest=90.0, dlq=2), []),
        (Bounds(lag=9), ["max-lag"]),
        (Bounds(oldest=89.0), ["max-oldest"]),
        (Bounds(dlq=1), ["max-dlq"]),
        (Bounds(lag=0, oldest=0.0, dlq=0), ["max-lag", "max-oldest", "max-dlq"]),
    ],
    ids=str,
)
def test_a_bound_is_passed_by_more_than_it_says(bounds: Bounds, passed: list[str]) -> None:
    breaches = bounds.breaches(status())

    assert [breach.bound for breach in breaches] == passed
    assert all(breach.stage == "price" and "'price'" in breach.text for breach in breaches)


def test_a_lag_that_is_unknown_passes_the_bound_where_it_could() -> None:
    bounds = Bounds(lag=50)

    (breach,) = bounds.breaches(status(lag=None, lag_at_most=51))

    assert (breach.seen, breach.limit) == (None, 50)
    assert "unknown, at most 51" in breach.text
    assert not bounds.breaches(status(lag=None, lag_at_most=50))


def test_a_stage_that_lost_its_place_needs_no_bound() -> None:
    (breach,) = Bounds().breaches(status(state="lost", lag=None))

    assert breach.bound == "lost"


def test_rates_are_records_between_two_looks() -> None:
    before = status(counters={**STAGE.counters, "in": 100})
    after = replace(status(counters={**STAGE.counters, "in": 150}), at=102.0)

    (stage,) = after.since(before).stages

    assert stage.rate == 25.0
    assert before.stages[0].rate is None


def test_rates_are_never_negative() -> None:
    before = status(counters={**STAGE.counters, "in": 100})
    after_fresh = replace(status(), at=101.0)

    assert after_fresh.since(before).stages[0].rate == 0.0
