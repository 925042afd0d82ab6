"""A trace drawn in the terminal."""

from __future__ import annotations

import pytest
from rich.console import Console

from rsq_pipe.cli.output.waterfall import waterfall
from rsq_pipe.ops.trace.step import RecordTrace, Step


def drawn(*steps: Step) -> list[str]:
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        console.print(waterfall(RecordTrace.of("r:1", steps)))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_what_no_step_knows_has_no_column() -> None:
    head, first, _ = drawn(
        Step("work", "r:1", "emitted", ended=10.0, attempt=1), Step("out", "r:1", "emitted", ended=10.5)
    )

    assert head.split() == ["stage", "attempt", "outcome", "0", "500", "ms"]
    assert first.split() == ["work", "1", "emitted", "█"]


def test_what_one_step_knows_has_its_column() -> None:
    head, *_ = drawn(
        Step("read", "r:1", "emitted", began=9.0, ended=10.0), Step("out", "r:1", "waiting", waited=2.0)
    )

    assert head.split()[:4] == ["stage", "wait", "run", "outcome"]


@pytest.mark.parametrize("ended", [[10.0], [10.0, 10.0]])
def test_where_no_time_passes_that_is_known_there_is_no_scale(ended: list[float]) -> None:
    lines = drawn(*(Step("work", "r:1", "retried", ended=at, note="why") for at in ended))

    assert lines[0].split() == ["stage", "outcome"]
    assert "█" not in "".join(lines)
    assert lines[2].split() == ["why"]
