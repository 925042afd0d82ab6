"""Progress without a terminal: what keeps a run from going on is said again, and how far each source is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.running import progress
from rsq_pipe.cli.running.progress import EARLY, TimeLeft, stands, until_next_line
from rsq_pipe.engine.state.paused import Paused
from rsq_pipe.errors import ServerUnavailableError, StreamFullError
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.backoff import Backoff, Outage
from tests.support.signals import wait_until


def runner(**pauses: Paused) -> Any:
    return cast("Any", SimpleNamespace(state=SimpleNamespace(pauses=pauses), awaits=()))


def test_a_run_that_goes_on_says_nothing_of_it() -> None:
    assert stands(runner()) == {}


def test_stages_that_pause_are_named_with_their_causes() -> None:
    told = stands(runner(pg=Paused("connection refused", 1.0, 1.0), out=Paused("moved", 1.0, 1.0)))

    assert told == {"paused": "pg: connection refused; out: moved"}


def test_a_server_that_is_away_is_named_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outage, "_known", {})
    outage = Outage.of("h:1")
    outage.fails(ServerUnavailableError("server h:1 is not reachable", address="h:1"))
    assert stands(runner()) == {"away": "server h:1 for 0s"}

    outage.works()
    assert stands(runner()) == {}


async def test_no_stage_is_said_to_have_done_nothing_while_the_server_has_not_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "INTERVAL", 0.01)
    spec = tmp_path / "pipeline.yaml"
    spec.write_text("""
version: 1
pipeline: shop
stages:
  read: {source: {type: generate, count: 1, fields: {n: "1"}}}
  out: {sink: {type: stdout}}
""")
    seen = SimpleNamespace(graph=load(spec), before={}, state=None, shares={"read": 0.5}, awaits=())

    with capture_logs() as logs:
        showing = asyncio.ensure_future(progress.show(cast("Any", seen), lively=False))
        await wait_until(lambda: bool(logs))
        showing.cancel()

    assert logs[0]["event"] == "running"
    assert not {"read", "out"} & logs[0].keys()


def test_a_run_that_has_lasted_for_ten_minutes_logs_its_progress_once_a_minute() -> None:
    assert until_next_line(0) == until_next_line(EARLY - 1) == 10
    assert until_next_line(EARLY) == until_next_line(30 * 86_400) == 60


def test_the_rest_is_reckoned_by_what_this_run_has_read() -> None:
    left = TimeLeft()
    left.describe({"read": 0.5}, 100.0)  # the half that an earlier run has read took it an hour

    assert left.describe({"read": 0.6}, 110.0) == {"read": "60% read, 40s left"}


def test_nothing_is_reckoned_in_the_first_two_seconds_nor_while_nothing_moves() -> None:
    left = TimeLeft()
    left.describe({"read": 0.1}, 0.0)

    assert left.describe({"read": 0.3}, 1.9) == {"read": "30% read"}
    assert left.describe({"read": 0.1}, 60.0) == {"read": "10% read"}


def test_a_source_that_is_read_has_no_time_left() -> None:
    assert TimeLeft().describe({"read": 1.0, "more": 0.0}, 5.0) == {"read": "all read", "more": "0% read"}
    assert TimeLeft().describe({"read": 0.997}, 5.0) == {"read": "99% read"}, "not 100% before the end"


async def test_a_line_says_that_the_server_is_full_for_as_long_as_something_waits_for_room() -> None:
    stopping = asyncio.Event()
    stopping.set()
    backoff = Backoff("source read")

    await backoff.wait(StreamFullError("server h:1 is out of memory"), stopping)
    assert stands(runner())["full"].startswith("the server is out of memory")

    backoff.reset()
    assert stands(runner()) == {}
