"""What a run did: the difference of two sets of counters."""

from __future__ import annotations

from collections.abc import Mapping

from rsq_pipe.engine.summary import StageSummary, Summary, summarize
from tests.unit.engine.stages import graph, source, stage

ORDERS = graph(source(), stage())
EARLIER = {"read:out": 100, "price:in": 90, "price:out": 80, "price:dead": 10}


def summary(after: Mapping[str, int], before: Mapping[str, int] = EARLIER) -> Summary:
    return summarize(ORDERS, before, after, seconds=2.0, finished=True, dead_letters=12)


def test_a_summary_counts_what_moved_since_the_run_began() -> None:
    after = {
        "read:out": 150,
        "price:in": 140,
        "price:out": 120,
        "price:dead": 12,
        "price:retried": 5,
        "price:dropped": 3,
    }

    assert summary(after).stages["price"] == StageSummary(50, 40, 3, 5, 2)
    assert summary(after).dead == 2


def test_a_record_that_is_retried_is_one_record() -> None:
    after = {
        "price:in": 60_120,
        "price:out": 59_000,
        "price:dropped": 900,
        "price:dead": 100,
        "price:retried": 120,
    }

    price = summary(after, before={}).stages["price"]

    assert price.records == price.emitted + price.dropped + price.dead == 60_000


def test_a_source_took_in_what_it_wrote_and_what_it_could_not_read() -> None:
    assert summary({"read:out": 7, "read:dead": 2}, before={}).stages["read"] == StageSummary(9, 7, 0, 0, 2)


def test_stages_stand_in_the_pipelines_order() -> None:
    assert list(summary({}, before={}).stages) == ["read", "price"]


def test_a_run_in_which_no_record_moved_found_nothing_new() -> None:
    assert summary(EARLIER).nothing_new
    assert not summary({**EARLIER, "read:out": 101}).nothing_new
    assert not summary({**EARLIER, "read:dead": 1}).nothing_new


def test_a_server_that_came_back_with_less_makes_no_number_negative() -> None:
    assert summary({"read:out": 40, "price:in": 90, "price:out": 100}).stages == {
        "read": StageSummary(0, 0, 0, 0, 0),
        "price": StageSummary(0, 20, 0, 0, 0),
    }
