"""Leftovers: a pipeline that was stopped with something in every place that holds records."""

from __future__ import annotations

import subprocess
import sys

from rsq_pipe.streams.worker import worker_name
from tests.integration.engine.lab import Lab
from tests.support.signals import wait_until

CHAIN = """
    read: {source: {type: jsonl, path: '*.jsonl'}, batch: {size: 5}}
    slow: {call: "handlers:slow"}
    add: {map: {k: "n + 1"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
"""The source writes its records in packs of five."""

RETRIED = DEAD = 2

HANDLERS = """
    import os
    from rsq_pipe import Reject

    def slow(record):
        if record["n"] % 10 == 1:
            return Reject("one")
        if record["n"] % 10 == 0 and os.path.exists({failing!r}):
            raise RuntimeError("not yet")
        return record

    def other(record):
        return record
"""
PATIENT = """
    defaults:
      batch: {size: 50, wait: 2ms}
      retry: {attempts: 3, backoff: {first: 10m, max: 10m, jitter: 0}}
"""


async def leave(lab: Lab, *, backlog: bool = True, retries: bool = True, serializer: str = "json") -> None:
    """
    Run `CHAIN` on 20 records and stop it; the stage `slow` then holds two dead letters and,

    where asked for, two retries that are due in ten minutes, 15 records that wait, and a pack of five in the
    hands of a process that is gone.
    """
    failing = lab.root / "failing"
    if retries:
        failing.touch()
    lab.handlers(HANDLERS.replace("{failing!r}", repr(str(failing))))
    lab.records(range(20))
    lab.spec(CHAIN, defaults=PATIENT, top=f"serializer: {serializer}")
    first = await lab.up()
    done = 20 - DEAD - (RETRIED if retries else 0)
    await wait_until(lambda: len(lab.lines("out/all.jsonl")) == done or first.task.done(), what="all is done")
    await first.stop()
    failing.unlink(missing_ok=True)
    if not backlog:
        return
    lab.records(range(20, 40))
    feeding = await lab.up(stages=["read"])
    await wait_until(lambda: (s := feeding.runner.state) and s.stages["slow"].lag == 20, what="20 wait")
    await feeding.stop()
    await lab.redis(
        *(
            "XREADGROUP",
            "GROUP",
            "slow",
            name_of_the_dead("slow"),
            "COUNT",
            1,
            "STREAMS",
            lab.key("read"),
            ">",
        )
    )


def name_of_the_dead(role: str) -> str:
    """Make the name of a worker whose process is gone."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, _, _ = worker_name(role).rpartition("_")
    return f"{host}_{ended.pid}-00c0ffee0000"
