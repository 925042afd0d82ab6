"""Pipelines that are run again, for the tests of resuming."""

from __future__ import annotations

from tests.integration.engine.lab import READ, Lab
from tests.support.signals import wait_until

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
PLAIN = f"{READ}\n{OUT}"
SLOWLY = """
    import time

    def slow(record):
        time.sleep(0.0005)
        return record
"""
SLOW = f"{READ}\nslow: {{call: 'handlers:slow'}}\n{OUT}"


async def written(lab: Lab, lines: int) -> None:
    await wait_until(lambda: len(lab.lines_so_far()) >= lines, what=f"{lines} lines are written")
