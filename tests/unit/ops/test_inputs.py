"""Who counts as working."""

from __future__ import annotations

import pytest

from rsq_pipe.ops.inputs import is_alive
from rsq_pipe.streams.stats import ConsumerInfo

# Of another host: whether a process of this one exists is known without waiting.
ELSEWHERE = "price_web-3.f00d_4711-0a1b2c3d"


@pytest.mark.parametrize(
    ("idle_ms", "runs", "alive"),
    [
        (4_999, [], True),
        (5_000, [], False),
        (60_000, ["run_web-3.f00d_4711-99887766"], True),
        (60_000, ["run_web-3.f00d_4712-99887766"], False),
        (60_000, ["run_web-2.f00d_4711-99887766"], False),
    ],
)
def test_a_silent_consumer_is_alive_while_its_process_shows_signs_of_life(
    idle_ms: int, runs: list[str], alive: bool
) -> None:
    assert is_alive(ConsumerInfo(ELSEWHERE, pending=1, idle_ms=idle_ms), runs, patience=5.0) is alive


def test_a_consumer_with_a_name_of_somebody_elses_is_judged_by_its_silence() -> None:
    assert is_alive(ConsumerInfo("reader", pending=0, idle_ms=10), [], patience=5.0)
    assert not is_alive(ConsumerInfo("reader", pending=0, idle_ms=10_000), [], patience=5.0)
