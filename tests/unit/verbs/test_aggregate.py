"""aggregate: what is kept of records, and the results it makes of that."""

from __future__ import annotations

import datetime as dt
import math
import random
import statistics
import timeit
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure
from rsq_pipe.spec.loader import load
from tests.support.project import Project
from tests.unit.verbs.aggregating import FLIGHTS, STORED, Stateful, one
from tests.unit.verbs.given import batch


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project", "p")


@pytest.fixture
def aggregate(project: Project) -> Any:
    """The stage `work` of a file; `more` is what stands below it."""

    def of(text: str, more: str = "") -> Stateful:
        stages = f"read: {{source: {{type: jsonl, path: in.jsonl}}}}\nwork: {{aggregate: {text}}}\n"
        spec = project.spec(stages + "out: {sink: {type: stdout}}\n" + more)
        return Stateful(load(spec).stage("work"))

    return of


NUMBERS: list[Any] = [3, None, 1.5, -2, 2**60, 7]


@pytest.mark.parametrize(
    ("function", "values", "wanted"),
    [
        ("count()", NUMBERS, 6),
        ("count(x)", NUMBERS, 5),
        ("sum(x)", NUMBERS, float(2**60 + 9.5)),
        ("sum(x)", [1, 2, 2**60], 2**60 + 3),
        ("sum(x)", [0.1] * 10, 1.0),
        ("sum(x > 1)", [1, 2, 3], 2),
        ("sum(x * y)", [1, 2, 3], 30),
        ("avg(x)", [1, 2, None], 1.5),
        ("min(x)", NUMBERS, -2),
        ("max(x)", NUMBERS, 2**60),
        ("max(x)", ["b", None, "ä", "a"], "ä"),
        ("max(date(x))", ["2026-01-02", "2025-12-31"], "2026-01-02"),
        ("first(x)", [None, "a", "b"], "a"),
        ("last(x)", [{"a": 1}, [1, 2], None], [1, 2]),
        ("count_distinct(x)", [1, 1.0, True, "1", None, [1], [1], {"a": 1}], 5),
        ("variance(x)", [1e9, 1e9 + 1, 1e9 + 2], 1.0),
        ("stddev(x)", [2, 4, 4, 4, 5, 5, 7, 9], statistics.stdev([2, 4, 4, 4, 5, 5, 7, 9])),
        ("variance(x)", [1], None),
        ("any(x)", [False, None, True], True),
        ("all(x)", [True, None, 0], False),
        *(
            (f"{name}(x)", [None, None], None)
            for name in ("sum", "avg", "min", "max", "first", "last", "any")
        ),
        ("count(x)", [None], 0),
        ("count_distinct(x)", [None], 0),
        ("median(x)", [None], None),
        ("quantile(x, 1)", [0, 0], 0.0),
    ],
)
@pytest.mark.parametrize("apart", [False, True])
async def test_a_function_gives_its_value(
    aggregate: Any, function: str, values: list[Any], wanted: Any, apart: bool
) -> None:
    stage = aggregate(f"{{compute: {{found: '{function}'}}}}")
    given = [
        Batch([{"x": value, "y": 5}], [f"read:{at}"]) if apart else None for at, value in enumerate(values)
    ]

    if apart:
        for of in given:
            await stage.take(of)
    else:
        await stage.put(*({"x": value, "y": 5} for value in values))

    (found,) = await stage.results()
    assert found == {"found": wanted}
    assert type(found["found"]) is type(wanted)


async def test_a_quantile_is_near_the_number_at_its_rank(aggregate: Any) -> None:
    stage = aggregate("{compute: {p90: 'quantile(x, 0.9)', half: median(x)}}")

    found = await one(stage, *({"x": x} for x in range(1000)))

    assert math.isclose(found["p90"], 899, rel_tol=0.01)
    assert math.isclose(found["half"], 499, rel_tol=0.01)


async def test_records_are_grouped_by_window_and_values(aggregate: Any) -> None:
    stage = aggregate(FLIGHTS)

    await stage.put(
        {"carrier": "UA", "at": "2026-03-01T09:00:00Z", "delay": 3},
        {"carrier": "AA", "at": "2026-03-01T09:59:59.999Z", "delay": 1},
        {"carrier": "UA", "at": "2026-03-01T12:30:00+02:00", "delay": 4},
        {"carrier": "UA", "at": "2026-03-01T09:30:00", "delay": None},
    )

    nine = {"window_start": "2026-03-01T09:00:00Z", "window_end": "2026-03-01T10:00:00Z"}
    ten = {"window_start": "2026-03-01T10:00:00Z", "window_end": "2026-03-01T11:00:00Z"}
    assert await stage.results() == [
        {"carrier": "AA", **nine, "n": 1, "late": 1, "avg": 1.0},
        {"carrier": "UA", **nine, "n": 2, "late": 3, "avg": 3.0},
        {"carrier": "UA", **ten, "n": 1, "late": 4, "avg": 4.0},
    ]
    assert list((await stage.results())[0]) == ["carrier", "window_start", "window_end", "n", "late", "avg"]
    assert stage.rids() == [
        "work:2026-03-01T09:00:00Z:AA",
        "work:2026-03-01T09:00:00Z:UA",
        "work:2026-03-01T10:00:00Z:UA",
    ]


async def test_windows_may_overlap(aggregate: Any) -> None:
    stage = aggregate("{every: 10m, over: 30m, on: at, start: from, end: to, compute: {n: count()}}")

    await stage.put({"at": 0}, {"at": 600}, {"at": 1799.5})

    assert [(found["from"], found["n"]) for found in await stage.results()] == [
        ("1969-12-31T23:40:00Z", 1),
        ("1969-12-31T23:50:00Z", 2),
        ("1970-01-01T00:00:00Z", 3),
        ("1970-01-01T00:10:00Z", 2),
        ("1970-01-01T00:20:00Z", 1),
    ]


async def test_a_group_may_be_made_by_expressions(aggregate: Any) -> None:
    stage = aggregate(
        '{by: {day: "at[:10]", big: x > 1, city: "get(record, \'city\')"}, compute: {n: count()}}'
    )

    await stage.put({"at": "2026-03-01T09", "x": 2}, {"at": "2026-03-01T10", "x": 3, "city": None})

    assert await stage.results() == [{"day": "2026-03-01", "big": True, "city": None, "n": 2}]


async def test_one_and_one_point_nought_are_one_group_and_true_is_another(aggregate: Any) -> None:
    stage = aggregate("{by: [k], compute: {n: count()}}")
    records = [{"k": k} for k in (1, True, 1.0, "1", None, False, 0, -0.0, 1.5)]

    await stage.put(*records)
    await stage.put(*records[::-1])
    for record in records:
        await stage.put(record)

    found = {repr(record["k"]): record["n"] for record in await stage.results()}
    wanted = {"1": 6, "True": 3, "'1'": 3, "None": 3, "False": 3, "0": 6, "1.5": 3}
    assert found == wanted


async def test_a_record_that_cannot_be_counted_is_an_error_of_that_record(aggregate: Any) -> None:
    stage = aggregate("{by: [k], every: 1h, on: at, compute: {avg: avg(x), low: min(y)}}")
    good = {"k": 1, "at": 5, "x": 1, "y": 1}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**good, "x": "12"}, "compute.avg: avg(x) takes numbers, not the text '12'; write int(x)"),
        ({**good, "x": "1.5"}, "compute.avg: avg(x) takes numbers, not the text '1.5'; write float(x)"),
        ({**good, "x": float("nan")}, "compute.avg: avg(x) takes numbers up to 1e+290, not nan"),
        ({**good, "y": [1]}, "compute.low: min(y) takes numbers and text, not a list"),
        ({"k": 1, "at": 5, "y": 1}, "compute.avg: field 'x' is not in the record"),
        ({**good, "k": [1]}, "by.k: a group key must be text, a number, a truth value or null, not a list"),
        (
            {**good, "at": "yesterday"},
            "on: 'yesterday' is not a date or time; write ISO 8601, such as 2026-03-01T09",
        ),
        ({**good, "at": None}, "on: it is null, and a record without a time is in no window"),
        ({**good, "at": True}, "on: True is not a date or time; write ISO 8601 text, or seconds since 1970"),
        ({**good, "at": 1_772_000_000_000}, "if these are milliseconds, divide them: `on: at / 1000`"),
        ({**good, "k": "x" * 2_000}, "by.k: what makes a group is longer than 1,024 bytes"),
    ]

    found = await stage.put(good, *(record for record, _ in wrong), good)

    assert found[0] == found[-1] == STORED
    for outcome, (_, words) in zip(found[1:-1], wrong, strict=True):
        assert isinstance(outcome, Failure)
        assert not outcome.retryable
        assert "stage 'work': aggregate." in str(outcome.error)
        assert words in str(outcome.error)
    assert await stage.results() == [
        {
            "k": 1,
            "window_start": "1970-01-01T00:00:00Z",
            "window_end": "1970-01-01T01:00:00Z",
            "avg": 1.0,
            "low": 1,
        }
    ]


@pytest.mark.parametrize("equal", [(1.0, 1), (1e16, 10**16), (2.0**70, 2**70), (-0.0, 0)])
@pytest.mark.parametrize("together", [True, False])
async def test_equal_numbers_are_one_group_and_one_value_however_records_come_in_batches(
    aggregate: Any, equal: tuple[float, int], together: bool
) -> None:
    groups = aggregate("{by: [k], compute: {n: count()}}")
    values = aggregate("{compute: {kinds: count_distinct(k)}}")
    records = [{"k": value} for value in equal]

    for some in [records] if together else [[record] for record in records]:
        await groups.put(*some)
        await values.put(*some)

    assert await groups.results() == [{"k": equal[1], "n": 2}]
    assert await values.results() == [{"kinds": 1}]


@pytest.mark.parametrize("values", [[0.0, -0.0], [-0.0, 0.0]])
async def test_an_extreme_has_no_minus_zero_whichever_came_first(aggregate: Any, values: list[float]) -> None:
    stage = aggregate("{compute: {least: min(x), most: max(x)}}")

    await stage.put(*({"x": value} for value in values))

    assert repr(await stage.results()) == "[{'least': 0.0, 'most': 0.0}]"


async def test_a_result_that_is_not_what_it_must_be_is_dropped(aggregate: Any) -> None:
    stage = aggregate("{by: [k], compute: {most: max(x)}, having: most > 3}")

    await stage.put({"k": "a", "x": 5}, {"k": "b", "x": 3}, {"k": "c", "x": None})

    assert await stage.results() == [{"k": "a", "most": 5}]


def random_flight(draw: random.Random) -> dict[str, Any]:
    hour = dt.datetime(2026, 3, 1, tzinfo=dt.UTC) + dt.timedelta(hours=draw.randint(0, 60))
    return {
        "carrier": draw.choice(["UA", "AA", "ü", None]),
        "origin": draw.choice(["JFK", 3, 2.5]),
        "at": hour.isoformat(),
        "delay": draw.choice([None, draw.randint(-9, 900), draw.uniform(-9, 9)]),
    }


@pytest.mark.parametrize("seed", range(5))
async def test_random_records_give_what_a_plain_loop_gives(aggregate: Any, seed: int) -> None:
    draw = random.Random(seed)
    flights = [random_flight(draw) for _ in range(1_000)]
    stage = aggregate(
        "{by: [carrier, origin], every: 1d, on: at, compute: {n: count(), sum: sum(delay), "
        "least: min(delay), most: max(delay), kinds: count_distinct(delay), avg: avg(delay)}}"
    )

    rest = list(enumerate(flights))
    while rest:
        some, rest = rest[: (size := draw.randint(1, 200))], rest[size:]
        await stage.take(Batch([flight for _, flight in some], [f"read:{at}" for at, _ in some]))

    groups: dict[Any, list[Any]] = defaultdict(list)
    for flight in flights:
        groups[flight["carrier"], flight["origin"], flight["at"][:10]].append(flight["delay"])
    found = {(r["carrier"], r["origin"], r["window_start"][:10]): r for r in await stage.results()}
    assert found.keys() == groups.keys()
    for key, delays in groups.items():
        known = [delay for delay in delays if delay is not None]
        one = found[key]
        assert (one["n"], one["kinds"]) == (len(delays), len({*known}))
        assert one["sum"] == (math.fsum(known) if known else None)
        assert (one["least"], one["most"]) == ((min(known), max(known)) if known else (None, None))
        assert one["avg"] == (pytest.approx(math.fsum(known) / len(known)) if known else None)


async def test_aggregate_costs_a_few_times_what_a_plain_loop_does(
    aggregate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(1)
    flights = [random_flight(draw) for _ in range(1_000)]
    for flight in flights:
        flight["delay"] = draw.choice([None, draw.randint(-9, 900)])
    stage = aggregate(
        "{by: [carrier], every: 1d, on: at, compute: {n: count(), avg: avg(delay), most: max(delay)}}"
    )
    of = batch(*flights)
    await stage.verb.process(of)

    def plain() -> None:
        groups: dict[Any, list[Any]] = {}
        for flight in flights:
            key = flight["carrier"], flight["at"][:10]
            group = groups.get(key)
            if group is None:
                group = groups[key] = [0, 0, 0, None]
            group[0] += 1
            delay = flight["delay"]
            if delay is not None:
                group[1] += 1
                group[2] += delay
                if group[3] is None or delay > group[3]:
                    group[3] = delay

    loop = min(timeit.repeat(plain, number=5, repeat=5)) / 5
    began = [timeit.default_timer()]
    for _ in range(15):
        await stage.verb.process(of)
        began.append(timeit.default_timer())
    ours = min(after - before for before, after in pairwise(began))
    with capsys.disabled():
        print(f"\naggregate: {ours * 1000:.2f} us a record, a plain loop {loop * 1000:.2f} us")
    assert ours < 25 * loop


async def test_what_was_read_a_moment_ago_is_not_read_again_until_a_settlement_finds_it_otherwise(
    aggregate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = aggregate("{by: [k], compute: {n: count()}}")
    looks: list[int] = []
    ask = stage.state.ask

    async def counted(*questions: Any) -> list[Any]:
        looks.append(len(questions))
        answers: list[Any] = await ask(*questions)
        return answers

    monkeypatch.setattr(stage.state, "ask", counted)
    monkeypatch.setattr("rsq_pipe.verbs.aggregate.monotonic", lambda: 5.0)

    for _ in range(3):
        assert await stage.put({"k": 1}) == [STORED]
    assert len(looks) == 1
    stage.state.hashes.setdefault("", {})[b"closed"] = b"1"
    found = await stage.verb.process(batch({"k": 1}))
    assert stage.state.settle(found.state) == "stale"
    assert await stage.put({"k": 1}) == [STORED]
    assert len(looks) == 2
