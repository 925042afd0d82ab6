"""Two processes that run one pipeline keep its rate together, and do equal parts of the work."""

from __future__ import annotations

import json
import signal
from collections import Counter
from itertools import pairwise
from pathlib import Path

from redis import Redis

from tests.support.command_line import start, status_of
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

RECORDS = 400


def test_two_processes_keep_a_rate_together_and_take_turns(
    tmp_path: Path, name: str, server: StreamServer
) -> None:
    project = Project(tmp_path / "project", name)
    project.handlers("""
        import os, time

        def work(record):
            return {**record, "by": os.getpid(), "at": time.monotonic()}
    """)
    project.spec(f"""
        work: {{from: {{stream: "{name}:in"}}, call: "handlers:work", rate: 200/s}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
    """)
    both = [start("run", project.path, "--redis", server.url, cwd=project.root) for _ in range(2)]

    def alive() -> bool:
        return bool(status_of(project, server)["stages"][0]["alive"] == 2)

    try:
        eventually(alive)
        with Redis.from_url(server.url) as redis, redis.pipeline(transaction=False) as pipe:
            for n in range(RECORDS):
                pipe.xadd(f"{name}:in", {"data": json.dumps({"n": n})})
            pipe.execute()
        eventually(lambda: len(project.lines_so_far()) == RECORDS)
    finally:
        for process in both:
            process.send_signal(signal.SIGTERM)
        for process in both:
            process.communicate(timeout=PATIENCE)

    lines = project.lines("out/all.jsonl")
    at = sorted(line["at"] for line in lines)
    by = Counter(line["by"] for line in lines)
    assert at[-1] - at[0] >= (RECORDS - 3 * 20) / 200, "a burst saved up, and one that each had taken ahead"
    assert at[-1] - at[0] < 10
    assert len(by) == 2
    assert min(by.values()) >= RECORDS * 0.35, f"one process took too much: {by}"
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert max(gaps) < 2, "nobody was left waiting"
