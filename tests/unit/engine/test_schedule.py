"""When a failed record is due again."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.failures.failing import delay
from rsq_pipe.spec.graph import RetryPolicy

DOUBLING = RetryPolicy(attempts=99, first=0.2, max=30.0, jitter=0.0, deliveries=5)


@pytest.mark.parametrize(("attempt", "pause"), [(1, 200), (2, 400), (3, 800), (8, 25_600), (9, 30_000)])
def test_the_pause_doubles_up_to_its_bound(attempt: int, pause: int) -> None:
    assert delay(DOUBLING, attempt, random.Random(1)) == pause


def test_the_pause_stays_at_its_bound_however_many_attempts_there_were() -> None:
    assert delay(DOUBLING, 10_000_000, random.Random(1)) == 30_000


def test_jitter_spreads_the_pause_around_its_middle() -> None:
    policy, draw = replace(DOUBLING, jitter=0.5), random.Random(7)

    pauses = [delay(policy, 1, draw) for _ in range(1_000)]

    assert min(pauses) >= 100
    assert max(pauses) <= 300
    assert max(pauses) - min(pauses) > 150
    assert 190 < sum(pauses) / len(pauses) < 210


def test_full_jitter_is_never_negative() -> None:
    policy, draw = replace(DOUBLING, jitter=1.0), random.Random(7)

    assert min(delay(policy, 1, draw) for _ in range(1_000)) >= 0
