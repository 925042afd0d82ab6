"""While windows are open and nothing comes, nobody asks for them again and again; a record is met at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from rsq_pipe.engine.windows.closer import Closer
from tests.integration.engine.lab import Running
from tests.integration.engine.looks import Looks
from tests.integration.engine.packed import PackedLab
from tests.support.signals import wait_until

LIVE = """
    read: {{source: {{type: stream, stream: "{stream}"}}}}
    hourly: {{aggregate: {{every: 1h, on: n * 60, {more} compute: {{count: count()}}}}}}
    out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
"""


@pytest.fixture(autouse=True)
def long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test pass because a closer looks again after its rest."""
    monkeypatch.setattr("rsq_pipe.engine.windows.closer.AT_REST", 600.0)


@pytest.fixture
async def stream(lab: PackedLab) -> AsyncIterator[str]:
    """A stream that others write."""
    yield f"{lab.pipeline}-in"
    await lab.redis("DEL", f"{lab.pipeline}-in")


async def came(lab: PackedLab, stream: str, *numbers: int) -> None:
    for n in numbers:
        await lab.client.channel.execute("XADD", stream, "*", "data", json.dumps({"n": n}), key=stream)


def closer(run: Running) -> Closer:
    (found,) = (role for _, role in run.runner._roles if isinstance(role, Closer))
    return found


def is_open(run: Running) -> bool:
    return run.runner.state is not None and run.runner.state.stages["hourly"].open > 0


@pytest.mark.parametrize("more", ["", "emit: 200ms,"])
async def test_an_open_window_costs_no_commands_while_nothing_comes(
    lab: PackedLab, stream: str, more: str
) -> None:
    lab.spec(LIVE.format(stream=stream, more=more))
    run = await lab.up()
    await came(lab, stream, 1, 2)
    await wait_until(lambda: is_open(run) and not closer(run)._has_news, what="the closer rests")
    await wait_until(lambda: run.runner._rests)

    looks = Looks(run)
    before = await lab.commands()
    await wait_until(lambda: looks.whole >= 4)  # one a second
    sent = await lab.commands() - before

    assert sent <= 4 * 10 * 3
    await run.stop()


async def test_a_record_that_comes_then_closes_the_window_at_once(lab: PackedLab, stream: str) -> None:
    lab.spec(LIVE.format(stream=stream, more=""))
    run = await lab.up()
    await came(lab, stream, 1, 2)
    await wait_until(lambda: is_open(run) and not closer(run)._has_news, what="the closer rests")

    await came(lab, stream, 61)

    await wait_until(lab.lines_so_far, what="the first hour is closed")
    await run.stop()
    assert [json.loads(line)["count"] for line in lab.lines_so_far()] == [2]


async def test_a_window_that_is_due_by_the_clock_is_closed_while_nothing_comes(
    lab: PackedLab, stream: str
) -> None:
    lab.spec(LIVE.format(stream=stream, more="idle: 1s,"))
    run = await lab.up()
    await came(lab, stream, 1, 2)
    await wait_until(lambda: is_open(run) and not closer(run)._has_news, what="the closer rests")

    await wait_until(lab.lines_so_far, what="the window is closed")

    await run.stop()
