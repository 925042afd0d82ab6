"""A source that cannot read reports each attempt, logs an outage once, and waits ever longer."""

from __future__ import annotations

import contextvars

import pytest
import structlog

from rsq_pipe.connectors.outage import SourceBackoff, report_outages_to


@pytest.fixture
def reports() -> list[str]:
    """Return what was reported to the engine so far."""
    return []


@pytest.fixture
def context(reports: list[str]) -> contextvars.Context:
    """Return a context in which a source's reports are collected."""
    context = contextvars.copy_context()
    context.run(report_outages_to, reports.append)
    return context


def test_each_failed_attempt_is_reported_with_its_system(
    reports: list[str], context: contextvars.Context
) -> None:
    backoff = SourceBackoff(0.1, 1.0, where="mqtt broker b:1883")

    context.run(backoff.fails, OSError("refused"))
    context.run(backoff.fails, "gone")

    assert reports == ["mqtt broker b:1883: refused", "mqtt broker b:1883: gone"]


def test_the_pauses_double_until_the_system_answers() -> None:
    backoff = SourceBackoff(0.1, 0.3)

    assert [backoff.fails("away") for _ in range(3)] == [0.1, 0.2, 0.3]
    assert (backoff.works(), backoff.works()) == (True, False)
    assert backoff.fails("away") == 0.1


def test_an_outage_is_logged_where_it_begins_and_where_it_ends() -> None:
    with structlog.testing.capture_logs() as logged:
        log = structlog.get_logger("rsq_pipe").bind(stage="read")
        backoff = SourceBackoff(0.1, 0.3, log=log, away="it is away; trying again", back="it answers again")
        backoff.works()
        backoff.fails("first")
        backoff.fails("second")
        backoff.works()
        backoff.works()

    assert logged == [
        {"stage": "read", "log_level": "warning", "event": "it is away; trying again", "error": "first"},
        {"stage": "read", "log_level": "warning", "event": "it answers again"},
    ]


def test_a_caller_that_logs_each_attempt_itself_gives_no_log() -> None:
    with structlog.testing.capture_logs() as logged:
        backoff = SourceBackoff(0.1, 0.3)
        backoff.fails("first")
        backoff.works()

    assert not logged
