"""How many records stand before a group, told from two counts and from what the server says of it."""

from __future__ import annotations

import pytest

from rsq_pipe.engine.changes.last_run import is_of
from rsq_pipe.engine.state.count_fields import count_fields, count_fields_of, held, packed
from rsq_pipe.engine.state.record_counts import to_do
from rsq_pipe.engine.state.state import PipelineState
from rsq_pipe.spec.graph import StreamRef
from rsq_pipe.streams.stats import GroupInfo
from tests.support.room import room
from tests.unit.engine.stages import graph, sink, source, stage

READ = "{orders}:read"


def group(lag: int | None, pending: int) -> GroupInfo:
    return GroupInfo("price", consumers=1, pending=pending, last_delivered_id="5-0", lag=lag)


def counts(appended: int, settled: int) -> dict[str, str]:
    return {f"appended:{READ}": str(appended), f"settled:price:{READ}": str(settled)}


@pytest.mark.parametrize(
    ("total", "entries", "expected"),
    [
        (100, (4, 0), (100, 0)),
        (100, (0, 4), (0, 100)),
        (100, (3, 1), (75, 25)),
        (100, (1, 99), (1, 99)),
        (501, (1, 1), (251, 250)),
        (100, (None, 2), (98, 2)),
        (2, (None, 2), (None, 2)),
    ],
)
def test_lag_and_pending_share_the_records_as_they_share_the_entries(
    total: int, entries: tuple[int | None, int], expected: tuple[int | None, int]
) -> None:
    lag, pending = entries

    found = to_do(counts(total + 40, 40), READ, group(lag, pending), undelivered=lag != 0)

    assert found == expected


def test_where_records_are_not_counted_entries_are() -> None:
    assert to_do({}, READ, group(3, 2), undelivered=True) == (3, 2)
    assert to_do({}, READ, group(None, 2), undelivered=True) == (None, 2)
    assert held({}, "price", READ) is None


def test_a_group_with_no_entry_before_it_has_no_record_before_it_whatever_is_counted() -> None:
    assert to_do(counts(100, 40), READ, group(0, 0), undelivered=False) == (0, 0)
    assert to_do(counts(100, 40), READ, group(None, 0), undelivered=False) == (0, 0)


def test_an_entry_is_never_taken_for_less_than_a_record() -> None:
    assert to_do(counts(10, 9), READ, group(3, 2), undelivered=True) == (3, 2)


def test_only_what_stages_write_for_stages_is_packed() -> None:
    out = sink("out", StreamRef("price"), StreamRef("orders-in", external=True), StreamRef("price:dlq"))
    shared = stage("share", outputs={"": StreamRef("orders-out", external=True)})

    pipeline = graph(source(), stage(), shared, out)

    assert packed(pipeline) == {READ: ["price", "share"], "{orders}:price": ["out"]}
    assert count_fields(pipeline) == [
        f"appended:{READ}",
        "appended:{orders}:price",
        f"settled:price:{READ}",
        f"settled:share:{READ}",
        "settled:out:{orders}:price",
    ]


def test_the_counts_of_a_stage_go_with_it_and_those_of_others_stay() -> None:
    fields = [
        "settled:price:{orders}:read",
        "settled:priceless:{orders}:read",
        "settled:in",
        "appended:{orders}:price",
        "appended:{orders}:read",
    ]

    assert list(count_fields_of("price", ["{orders}:price"], fields)) == [fields[0], fields[3]]


@pytest.mark.parametrize(
    ("name", "field", "own"),
    [
        ("price", "price:in", True),
        ("price", "price:replayed", True),
        ("price", "pricey:in", False),
        ("group", "group:in", True),
        ("group", "group:price:{orders}:read", False),
        ("settled", "settled:dead", True),
        ("settled", "settled:price:{orders}:read", False),
        ("position", "position:read:a.jsonl", False),
    ],
)
def test_a_stage_that_is_called_as_a_kind_of_field_has_its_counters_alone(
    name: str, field: str, own: bool
) -> None:
    assert is_of(name, field) is own


def test_the_fullest_stream_below_leaves_the_least_room() -> None:
    routed = stage("route", ports=("large", "small"), verb="route")
    pipeline = graph(source(), routed, sink("out", StreamRef("route.large"), StreamRef("route.small")))
    large, small = "{orders}:route.large", "{orders}:route.small"
    state = PipelineState({}, {large: 100, small: 300}, settled={large: 900, small: 700})

    assert room(state, pipeline, "route", {}) == 9_700
    assert room(state, pipeline, "route", {f"appended:{large}": 1_500}) == 9_400
    assert room(state, pipeline, "route", {f"appended:{large}": 11_000}) == -100


def test_what_readers_have_settled_since_the_look_is_room_again() -> None:
    pipeline = graph(source(), stage(), sink("out", StreamRef("price")), sink("copy", StreamRef("price")))
    stream = "{orders}:price"
    state = PipelineState({}, {stream: 10_000}, settled={stream: 500})

    assert room(state, pipeline, "price", {f"settled:out:{stream}": 900}) == 0
    totals = {f"settled:out:{stream}": 900, f"settled:copy:{stream}": 700}
    assert room(state, pipeline, "price", totals) == 200
    assert room(state, pipeline, "price", totals | {"copy:retried": 150}) == 50  # put off is not done
