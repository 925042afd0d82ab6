"""What fails for good is told in one line a batch and stage."""

from __future__ import annotations

import pytest
import structlog
from structlog.testing import capture_logs

from rsq_pipe.engine.failures import failure_log
from rsq_pipe.engine.failures.failure_log import FailureLog
from rsq_pipe.engine.plan import Failed, Plan
from rsq_pipe.streams.settlement import Settlement
from tests.support.signals import wait_until


async def test_records_of_one_stage_are_told_in_one_line_with_the_first_of_them() -> None:
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    failures = [Failed("price", "dlq", f"read:{n}", trace, ValueError(n)) for n in range(3)]
    failures += [
        Failed("send", "drop", "read:7", {}, "no"),
        Failed("end", "stop", "read:8", {}, KeyError("x")),
    ]

    with capture_logs() as lines:
        FailureLog(structlog.get_logger()).add(Plan(Settlement(), failures=failures))

    assert [(line["event"], line["stage"], line["records"], line["first_error"]) for line in lines] == [
        ("dead-lettered failed records", "price", 3, "ValueError: 0"),
        ("dropped failed records", "send", 1, "no"),
        ("stopped at failed records", "end", 1, "KeyError: 'x'"),
    ]
    assert "1" * 32 in str(lines[0])
    assert all(line["log_level"] == "warning" for line in lines)


async def test_dead_letters_and_drops_of_one_batch_are_told_apart() -> None:
    failures = [
        Failed("send", "drop", "read:1", {}, ValueError(1)),
        Failed("send", "dlq", "read:2", {}, "not ours"),
        Failed("send", "drop", "read:3", {}, ValueError(3)),
    ]

    with capture_logs() as lines:
        FailureLog(structlog.get_logger()).add(Plan(Settlement(), failures=failures))

    assert [(line["event"], line["records"], line["first_error"]) for line in lines] == [
        ("dropped failed records", 2, "ValueError: 1"),
        ("dead-lettered failed records", 1, "not ours"),
    ]


async def test_where_nothing_failed_nothing_is_told() -> None:
    with capture_logs() as lines:
        FailureLog(structlog.get_logger()).add(Plan(Settlement()))

    assert lines == []


def _of_one(number: int) -> Plan:
    return Plan(Settlement(), failures=[Failed("send", "dlq", f"read:{number}", {}, ValueError(number))])


async def test_of_many_small_batches_the_first_is_told_at_once_and_the_others_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failure_log, "QUIET", 0.05)
    with capture_logs() as lines:
        log = FailureLog(structlog.get_logger())
        for number in range(100):
            log.add(_of_one(number))
        assert [(line["records"], line["first_error"]) for line in lines] == [(1, "ValueError: 0")]
        await wait_until(lambda: len(lines) == 2, what="the others are told of")
        log.close()

    assert (lines[1]["records"], lines[1]["first_error"], lines[1]["rid"]) == (99, "ValueError: 1", "read:1")
    assert len(lines) == 2


async def test_what_was_not_told_of_is_told_at_the_end() -> None:
    with capture_logs() as lines:
        log = FailureLog(structlog.get_logger())
        for number in range(3):
            log.add(_of_one(number))
        log.close()

    assert [line["records"] for line in lines] == [1, 2]
