"""What fails for good is told in one line a batch and stage."""

from __future__ import annotations

import structlog
from structlog.testing import capture_logs

from rsq_pipe.engine.plan import Failed, Plan
from rsq_pipe.engine.telling import tell
from rsq_pipe.streams.settlement import Settlement


def test_records_of_one_stage_are_told_in_one_line_with_the_first_of_them() -> None:
    trace = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
    failures = [Failed("price", "dlq", f"read:{n}", trace, ValueError(n)) for n in range(3)]
    failures += [
        Failed("send", "drop", "read:7", {}, "no"),
        Failed("end", "stop", "read:8", {}, KeyError("x")),
    ]

    with capture_logs() as lines:
        tell(structlog.get_logger(), Plan(Settlement(), failures=failures))

    assert [(line["event"], line["stage"], line["records"], line["first_error"]) for line in lines] == [
        ("dead-lettered failed records", "price", 3, "ValueError: 0"),
        ("dropped failed records", "send", 1, "no"),
        ("stopped at failed records", "end", 1, "KeyError: 'x'"),
    ]
    assert "1" * 32 in str(lines[0])
    assert all(line["log_level"] == "warning" for line in lines)


def test_where_nothing_failed_nothing_is_told() -> None:
    with capture_logs() as lines:
        tell(structlog.get_logger(), Plan(Settlement()))

    assert lines == []
