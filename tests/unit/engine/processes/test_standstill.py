"""What holds up the event loop of a run is named while it lasts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.engine.processes import standstill
from rsq_pipe.engine.processes.standstill import Standstill
from rsq_pipe.errors import ServerTimeoutError
from rsq_pipe.streams import backoff
from rsq_pipe.streams.backoff import Outage
from tests.support.signals import wait_until


class Log:
    """Keep the lines, and tell of each."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self.told = threading.Semaphore(0)

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))
        self.told.release()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(standstill, "PERIOD", 0.02)
    monkeypatch.setattr(standstill, "SECONDS", 0.1)
    monkeypatch.setattr(Outage, "_excused_until", 0.0)
    return Log()


async def holds_up(log: Log) -> None:
    assert log.told.acquire(timeout=10)


async def test_a_call_that_holds_the_loop_up_is_named_with_its_line(log: Log) -> None:
    with Standstill("p", Path(__file__).parent, log):
        await holds_up(log)
        assert await asyncio.to_thread(log.told.acquire, timeout=10)

    (event, fields), (goes_on, _) = log.lines
    assert event.startswith("the process stands still")
    assert fields["at"].startswith("test_standstill.py:")
    assert fields["at"].endswith(" in holds_up")
    assert fields["seconds"] >= 0.1
    assert goes_on == "the process goes on"


async def test_a_loop_that_turns_is_not_told_of(log: Log) -> None:
    with Standstill("p", Path(__file__).parent, log):
        assert not await asyncio.to_thread(log.told.acquire, timeout=0.4)


async def test_code_from_elsewhere_is_named_by_its_file(log: Log, tmp_path: Path) -> None:
    with Standstill("p", tmp_path, log):
        await holds_up(log)

    assert "threading.py:" in log.lines[0][1]["at"]


async def test_a_process_that_was_paused_says_so_and_blames_no_server_for_what_timed_out(
    log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, late = standstill.clock, 0.0
    monkeypatch.setattr(standstill, "clock", lambda: real() + late)
    monkeypatch.setattr(Outage, "_known", {})
    outage = Outage.of("db:6379")

    with Standstill("p", Path(__file__).parent, log):
        late = 12.0
        await wait_until(lambda: Outage._excused_until > 0, what="the loop has turned again")
        outage.fails(ServerTimeoutError("server db:6379 did not answer in time", address="db:6379"))
        outage.works()
        assert await asyncio.to_thread(log.told.acquire, timeout=10)

    ((event, fields),) = log.lines
    assert event.startswith("this process was paused")
    assert fields["seconds"] >= 12
    assert caplog.text == ""


def test_a_server_that_is_still_away_a_while_after_a_pause_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Outage, "_excused_until", 0.0)
    monkeypatch.setattr(backoff, "QUIET", 0.0)
    outage = Outage("db:6379")
    Outage.excuse()

    outage.fails(ServerTimeoutError("server db:6379 did not answer in time", address="db:6379"))
    outage.fails(ServerTimeoutError("server db:6379 did not answer in time", address="db:6379"))

    assert caplog.text.count("did not answer in time; trying again") == 1
