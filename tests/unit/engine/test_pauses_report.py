"""The log of pauses: what to do about a long one, and few lines about short ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.engine.pauses.breaker import Cause
from rsq_pipe.engine.pauses.pause_log import GOES_ON, MANY_CALLS, ONE_CALL
from rsq_pipe.engine.pauses.pauses import Pauses
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.project import Project


@pytest.mark.parametrize(("first", "says"), [("20s", True), ("100ms", False)])
async def test_a_pause_that_has_become_long_is_logged_with_what_to_do(
    tmp_path: Path, first: str, says: bool
) -> None:
    project = Project(tmp_path / "project", "web")
    project.handlers("def work(order):\n    return order\n")
    graph = load(
        project.spec(f"""
            read: {{source: {{type: jsonl, path: in.jsonl}}}}
            work: {{call: "handlers:work", breaker: {{failures: 2, first: {first}}}}}
            out: {{sink: {{type: stdout}}}}
        """)
    )
    async with StreamClient.from_url("redis://127.0.0.1:1") as client:
        pauses = Pauses(client, graph)
        breaker = pauses.of(graph.stages[1])
        assert breaker is not None
        breaker.note(["read:1", "read:2"], dict.fromkeys(range(2), Cause("shop.Down", "Down: no service")))

        with capture_logs() as logs:
            pauses.report("work")

    (line,) = logs
    assert line["event"] == MANY_CALLS
    assert ("`breaker: false`" in line.get("mend", "")) is says


async def test_short_pauses_one_after_another_are_logged_once(tmp_path: Path) -> None:
    project = Project(tmp_path / "project", "web")
    graph = load(
        project.spec("""
            read: {source: {type: jsonl, path: in.jsonl}}
            out: {sink: {type: http, url: "http://127.0.0.1:1"}}
        """)
    )
    async with StreamClient.from_url("redis://127.0.0.1:1") as client:
        pauses = Pauses(client, graph)
        breaker = pauses.of(graph.stages[1])
        assert breaker is not None

        with capture_logs() as logs:
            for number in range(50):  # as of a service that answers one request in fifty with 503
                breaker.note([f"read:{number}"], {0: Cause("", "it answers 503", certain=True)})
                pauses.report("out")
                breaker.trial_succeeded()
                pauses.report("out")

    assert [line["event"] for line in logs] == [ONE_CALL, GOES_ON]
