"""A stage whose batches take long is told which size would suit it, once."""

from __future__ import annotations

import re

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.housekeeping import slow_hint
from tests.integration.engine.lab import READ, Lab

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"


@pytest.mark.parametrize(("seconds", "hints"), [(0.05, 1), (60.0, 0)])
async def test_a_slow_batch_is_told_of_once_with_the_size_that_takes_a_second(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, seconds: float, hints: int
) -> None:
    monkeypatch.setattr(slow_hint, "SLOW", seconds)
    lab.records(range(40))
    lab.handlers("""
        import time

        def work(record):
            time.sleep(0.01)
            return record
    """)
    lab.spec(f"{READ}\nwork: {{call: 'handlers:work', batch: {{size: 20}}}}\n{OUT}")

    with capture_logs() as logs:
        await lab.run()

    told = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert len(told) == hints, told
    for event in told:
        assert event.startswith("stage work: a batch took about ")
        assert re.search(r"`batch: \{size: \d+\}` makes smaller batches$", event)
