"""aggregate: the time of a record, and which window it enters or is late for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Drop
from rsq_pipe.model.state import StateChange
from rsq_pipe.spec.loader import load
from tests.support.project import Project
from tests.unit.verbs.aggregating import FLIGHTS, STORED, Stateful, one


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


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ("2026-03-01", "2026-03-01T00:00:00Z"),
        ("2026-03-01T09:30:00", "2026-03-01T09:00:00Z"),
        ("2026-03-01T09:30:00.5+09:30", "2026-03-01T00:00:00Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-0.5, "1969-12-31T23:00:00Z"),
        (1_772_000_000, "2026-02-25T06:00:00Z"),
    ],
)
async def test_a_time_is_read_as_text_or_as_seconds(aggregate: Any, value: Any, start: str) -> None:
    stage = aggregate("{every: 1h, on: at, compute: {n: count()}}")

    assert (await one(stage, {"at": value}))["window_start"] == start


@pytest.mark.parametrize("seconds", [1.001, 513.958, 546_112_161.175, 1_772_342_399.999, -0.001])
async def test_a_time_in_seconds_is_read_to_the_millisecond_that_is_written(
    aggregate: Any, seconds: float
) -> None:
    alone, among = (aggregate("{every: 1ms, on: at, compute: {n: count()}}") for _ in range(2))
    written = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=round(seconds * 1000))

    await among.put({"at": seconds}, {"at": None})  # beside a null, each time is read by itself

    for found in (await one(alone, {"at": seconds}), (await among.results())[0]):
        assert dt.datetime.fromisoformat(found["window_start"]) == written


async def test_a_record_of_a_closed_window_is_late(aggregate: Any, project: Project) -> None:
    records = [{"carrier": "UA", "at": at, "delay": 1} for at in ("1970-01-01T00:30", "1970-01-01T01:30")]
    unread, read = aggregate(FLIGHTS), aggregate(FLIGHTS, "more: {from: work.late, sink: {type: stdout}}")
    change = StateChange()
    change.set("", {"closed": 3_600_000})
    for stage in (unread, read):
        stage.state.settle(change)

    assert await unread.put(*records) == [Drop("late"), STORED]
    late, stored = await read.put(*records)
    assert (late.record, late.to, stored) == (records[0], "late", STORED)


async def test_of_overlapping_windows_a_record_enters_those_that_are_open(aggregate: Any) -> None:
    stage = aggregate("{every: 10m, over: 30m, on: at, compute: {n: count()}}")
    change = StateChange()
    change.set("", {"closed": 1_200_000})
    stage.state.settle(change)

    assert await stage.put({"at": 601}) == [STORED]

    assert [found["window_start"][11:19] for found in await stage.results()] == ["00:00:00", "00:10:00"]


async def test_the_time_of_an_input_is_that_of_its_latest_record(
    aggregate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock that goes on from the state's stands still as that does, however long this takes.
    monkeypatch.setattr("rsq_pipe.verbs.aggregate.monotonic", lambda: 0.0)
    stage = aggregate("{every: 1h, on: at, compute: {n: count()}}")
    deliveries = [Delivery("{p}:read", "1-0", 1), Delivery("{p}:work:again", "1-0", 1)]

    await stage.take(Batch([{"at": 50}, {"at": 40}, {"at": 90}], ["a", "b", "c"], [0, 0, 1], deliveries))
    await stage.take(Batch([{"at": 45}, {"at": "?"}], ["d", "e"], [0, 0], deliveries[:1]))

    scalars = stage.state.hashes[""]
    assert (scalars[b"seen:read"], scalars[b"at:read"]) == (b"50000", b"1000")
