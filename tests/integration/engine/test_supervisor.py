"""What a supervisor does with its processes at the end of a run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from rsq_pipe.engine.processes import supervisor as supervising
from rsq_pipe.engine.processes.forked import Forked
from rsq_pipe.engine.processes.supervisor import Supervisor
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.streams.client import StreamClient
from tests.integration.engine.lab import Lab
from tests.support.proxy import Proxy
from tests.support.signals import PATIENCE, wait_until

PIPELINE = """
    read: {source: {type: jsonl, path: in.jsonl}}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""

FIRST = """
import os, select, sys
go, says, other = map(int, sys.argv[1:4])
os.read(go, 100)
os.write(says, b"0")
ready, _, _ = select.select([other], [], [], 20)
open(sys.argv[4], "w").write("the other ended" if ready else "waited in vain")
"""
"""A process that says that all is done, and ends when the other has: when the end of its pipe is closed."""

DONE = """
import os, sys
os.read(int(sys.argv[1]), 100)
os.write(int(sys.argv[2]), b"0")
"""
"""A process that says that all is done, and ends."""

FAILED = """
import os, sys
os.read(int(sys.argv[1]), 100)
url, key = sys.argv[3].split()
import redis
redis.Redis.from_url(url).xgroup_destroy(key, "out")
os.write(int(sys.argv[2]), b"1")
sys.exit(1)
"""
"""A process that destroys a group, and ends as one does that finds it lost."""

OTHER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
os.read(int(sys.argv[1]), 100)
signal.pause()
"""
"""A process that works until it is told to end."""


def forked(script: str, *held: int, more: str = "") -> Forked:
    """Start a process that waits until it may begin, as a fork does; `held` are pipes that it inherits."""
    (hears, go), (heard, says) = os.pipe(), os.pipe()
    words = [str(number) for number in (hears, says, *held)]
    process = subprocess.Popen([sys.executable, "-c", script, *words, more], pass_fds=(hears, says, *held))
    os.close(hears)
    os.close(says)
    process.returncode = 0  # its supervisor waits for it
    return Forked(process.pid, go, heard)


async def test_when_one_process_says_that_all_is_done_the_others_end_while_it_still_ends(
    lab: Lab, tmp_path: Path
) -> None:
    lab.spec(PIPELINE)
    alive, held = os.pipe()
    other = forked(OTHER, held)
    os.close(held)
    first = forked(FIRST, alive, more=str(tmp_path / "found"))
    calls: list[str] = []
    supervisor = Supervisor(
        *(lab.graph, lab.client, lab.url),
        processes=2,
        options=(),
        fresh=False,
        forked=[first, other],
        at_end=lambda: calls.append("at end"),
    )

    summary = await supervisor.run()

    assert summary.finished
    assert (tmp_path / "found").read_text() == "the other ended"
    assert calls == ["at end"]
    os.close(alive)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "LEAST", 0.1)
    monkeypatch.setattr(supervising, "AFTER_DRAIN", 0.1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("told_by", ["the end of all work", "a signal"])
async def test_a_process_that_is_paused_for_longer_than_a_stop_may_take_does_not_keep_the_run_from_ending(
    lab: Lab, told_by: str
) -> None:
    lab.spec(PIPELINE)
    first, other = forked(DONE if told_by != "a signal" else OTHER), forked(OTHER)
    os.kill(other.pid, signal.SIGSTOP)
    supervisor = supervisor_of(lab, first, other)

    with capture_logs() as logs:
        running = asyncio.ensure_future(supervisor.run())
        if told_by == "a signal":
            await wait_until(lambda: supervisor.before is not None)
            await asyncio.sleep(0)  # the processes begin in the loop's next turn
            supervisor.stop()
        summary = await asyncio.wait_for(running, PATIENCE)

    assert summary.finished is (told_by != "a signal")
    [killed] = [log for log in logs if "is killed" in log["event"]]
    assert killed["pid"] == other.pid
    assert "is paused" in killed["event"]


async def test_a_process_that_is_paused_is_named_and_so_is_its_going_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "LOOK", 0.01)
    lab.spec(PIPELINE)
    one = forked(OTHER)
    supervisor = supervisor_of(lab, one)

    def said(logs: list[EventDict], words: str) -> list[int]:
        return [log["pid"] for log in logs if words in log["event"]]

    with capture_logs() as logs:
        running = asyncio.ensure_future(supervisor.run())
        os.kill(one.pid, signal.SIGSTOP)
        await wait_until(lambda: said(logs, f"kill -CONT {one.pid}"))
        os.kill(one.pid, signal.SIGCONT)
        await wait_until(lambda: said(logs, "goes on"))
        supervisor.stop()
        await asyncio.wait_for(running, PATIENCE)

    assert (said(logs, "is paused"), said(logs, "goes on")) == ([one.pid], [one.pid])


async def test_a_connection_that_breaks_as_the_processes_end_costs_no_summary(lab: Lab) -> None:
    lab.spec(PIPELINE)
    async with Proxy(lab.url) as proxy, StreamClient.from_url(proxy.url) as client:
        broken: list[asyncio.Event] = []
        supervisor = Supervisor(
            *(lab.graph, client, proxy.url),
            processes=1,
            options=(),
            fresh=False,
            forked=[forked(DONE)],
            at_end=lambda: broken.append(proxy.drop_reply_to(b"XINFO")),
        )

        summary = await asyncio.wait_for(supervisor.run(), PATIENCE)

    assert summary.finished
    assert broken[0].is_set()


async def test_a_lost_group_is_reported_by_the_process_that_found_it_and_not_again(lab: Lab) -> None:
    lab.spec(PIPELINE)
    supervisor = supervisor_of(lab, forked(FAILED, more=f"{lab.url} {lab.key('read')}"))

    with pytest.raises(RsqPipeError, match="ended with code 1"):
        await asyncio.wait_for(supervisor.run(), PATIENCE)


def supervisor_of(lab: Lab, *processes: Forked) -> Supervisor:
    return Supervisor(
        *(lab.graph, lab.client, lab.url),
        processes=len(processes),
        options=(),
        fresh=False,
        drain_timeout=0.3,
        forked=processes,
    )
