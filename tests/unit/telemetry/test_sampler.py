"""Which records are traced."""

from __future__ import annotations

import random

import pytest

from rsq_pipe.spec.sampling import parse_sampling
from rsq_pipe.telemetry.sampler import Sampler, sampler
from rsq_pipe.telemetry.trace_context import TraceContext
from tests.support.clock import Clock


@pytest.mark.parametrize(("text", "chosen"), [("all", [0, 1, 2]), ("none", [])])
def test_all_and_none_mean_that(text: str, chosen: list[int]) -> None:
    assert list(Sampler(parse_sampling(text)).choose(3)) == chosen


def test_rate_holds_over_time_however_many_records_come() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("10/s"), clock=clock)

    at_once = len(by_rate.choose(1_000))
    then = 0
    for _ in range(100):
        clock.now += 0.1
        then += len(by_rate.choose(1_000))

    assert at_once == 10
    assert then == pytest.approx(100, abs=5)  # of what is saved up for the next bunch


def test_traces_come_in_bunches_where_records_come_faster() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("10/s"), clock=clock)
    by_rate.choose(1_000)

    granted = []
    for _ in range(12):
        clock.now += 0.1
        granted.append(len(by_rate.choose(1_000)))

    assert sorted(granted, reverse=True)[:3] == [5, 5, 0]


def test_record_now_and_then_is_always_traced_below_the_rate() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("10/s"), clock=clock)

    chosen = 0
    for _ in range(100):
        clock.now += 0.11
        chosen += len(by_rate.choose(1))

    assert chosen == 100


def test_rate_is_not_saved_up_beyond_a_second() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("10/s"), clock=clock)
    by_rate.choose(10)
    clock.now += 3_600

    assert len(by_rate.choose(1_000)) == 10


def test_slow_rate_lets_one_through_at_a_time() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("6/m"), clock=clock)

    assert [len(by_rate.choose(5)) for clock.now in (0.0, 5.0, 10.1, 15.0)] == [1, 0, 1, 0]


def test_share_is_that_share_whatever_the_size_of_a_batch() -> None:
    share = Sampler(parse_sampling("5%"), draw=random.Random(1))

    ones = sum(len(share.choose(1)) for _ in range(20_000))
    many = sum(len(share.choose(1_000)) for _ in range(20))

    assert ones == pytest.approx(1_000, rel=0.1)
    assert many == pytest.approx(1_000, rel=0.1)


def test_places_are_in_order_and_within_the_batch() -> None:
    for text in ("50%", "20/s"):
        chosen = list(Sampler(parse_sampling(text), draw=random.Random(2)).choose(40))
        assert chosen == sorted(set(chosen))
        assert set(chosen) <= set(range(40))


SAMPLED, UNSAMPLED = TraceContext(2**63, 1), TraceContext(1, 1, sampled=False)


@pytest.mark.parametrize(
    ("name", "argument", "chosen", "follows"),
    [
        ("always_on", "", 4, [True, True]),
        ("always_off", "", 0, [False, False]),
        ("parentbased_always_on", "", 4, [True, False]),
        ("parentbased_always_off", "", 0, [True, False]),
        ("traceidratio", "0", 0, [False, False]),
        ("traceidratio", "0.25", None, [False, True]),
        ("parentbased_traceidratio", "0.25", None, [True, False]),
        ("traceidratio", "nonsense", 4, [True, True]),
    ],
)
def test_standard_samplers_win_over_the_file(
    name: str, argument: str, chosen: int | None, follows: list[bool]
) -> None:
    found = sampler(
        parse_sampling("none"), {"OTEL_TRACES_SAMPLER": name, "OTEL_TRACES_SAMPLER_ARG": argument}
    )

    assert chosen is None or len(found.choose(4)) == chosen
    assert [found.follows(context) for context in (SAMPLED, UNSAMPLED)] == follows


@pytest.mark.parametrize("environ", [{}, {"OTEL_TRACES_SAMPLER": "jaeger_remote"}])
def test_without_a_standard_sampler_the_file_counts(environ: dict[str, str]) -> None:
    assert len(sampler(parse_sampling("all"), environ).choose(7)) == 7


def test_traces_from_outside_are_followed_at_the_rate_at_which_others_are_begun() -> None:
    clock = Clock(0.0)
    by_rate = Sampler(parse_sampling("10/s"), clock=clock)
    brought = [SAMPLED, UNSAMPLED] * 500

    at_once = by_rate.choose_followed(brought, 1_000)
    assert at_once == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    clock.now += 3_600
    assert len(by_rate.choose_followed(brought, 1_000)) == 10
    then = 0
    for _ in range(100):
        clock.now += 0.1
        by_rate.choose(100_000)
        then += len(by_rate.choose_followed(brought, 1_000))

    assert then == pytest.approx(100, abs=2)


def test_a_share_of_what_came_from_outside_is_followed_at_most() -> None:
    share = Sampler(parse_sampling("5%"), draw=random.Random(1))

    forged = sum(len(share.choose_followed([SAMPLED], 1)) for _ in range(2_000))
    honest = sum(len(share.choose_followed([SAMPLED] * 50, 1_000)) for _ in range(10))

    assert forged == pytest.approx(100, abs=2)
    assert honest == pytest.approx(500, abs=2)
