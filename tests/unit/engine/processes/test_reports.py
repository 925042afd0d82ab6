"""Reports: what is known of processes by what they report, and what is not waited for."""

from __future__ import annotations

import os

import pytest

from rsq_pipe.engine.processes import reports as reporting
from rsq_pipe.engine.processes.reports import Reports, report
from rsq_pipe.engine.processes.supervised import NUMBER, REPORTS
from tests.support.signals import wait_until


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    reports = Reports()
    monkeypatch.setenv(REPORTS, str(reports.sent_to))
    return reports


async def test_what_processes_report_last_is_known_together(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reports.listening():
        for number, shares, obstacles in (
            ("0", {"read": 0.2}, {}),
            ("0", {"read": 0.3}, {}),
            ("1", {"more": 1.0}, {"full": "the server is out of memory"}),
        ):
            monkeypatch.setenv(NUMBER, number)
            report(shares, obstacles)
        await wait_until(lambda: reports.shares == {"read": 0.3, "more": 1.0})

    assert reports.obstacles == {"full": "the server is out of memory"}


async def test_a_process_that_has_been_silent_for_long_is_left_out(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reports.listening():
        report({"read": 0.2}, {})
        await wait_until(lambda: bool(reports.shares))
        monkeypatch.setattr(reporting, "_FRESH", 0.0)

        assert reports.shares == {}


async def test_a_supervisor_that_takes_none_keeps_no_process_waiting(reports: Reports) -> None:
    for _ in range(10_000):
        report({"read": 0.2}, {"paused": "x" * 1_000})

    with reports.listening():
        await wait_until(lambda: bool(reports.shares))
    report({"read": 0.3}, {})  # to one that is gone
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(reports.sent_to)
