"""The process that keeps house is killed, or paused and woken: retries come back in time, and each once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

import pytest
import redis

from tests.support.command_line import start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import eventually

PERIODS = 2.0 + 1.0
"""Seconds within which the next one does it: the lease runs out, and then comes a turn."""


class Shop:
    """A pipeline half of whose records fail at first, and its processes."""

    def __init__(self, root: Path, name: str, server: StreamServer) -> None:
        self.project = Project(root, name)
        self.redis = redis.Redis.from_url(server.tcp_url, decode_responses=True)
        self.name = name
        self._url = server.url
        self.put_so_far = 0
        self.processes: list[Popen[str]] = []
        self.project.handlers("""
            def work(record, ctx):
                if ctx.attempt == 1 and record["n"] % 2 == 0:
                    raise ValueError(f"not yet, {record}")
                return record
        """)
        self.project.spec(
            f"""
            work: {{from: {{stream: "{name}-in"}}, call: "handlers:work", fuse: false}}
            out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
            """,
            defaults="""
            defaults:
              retry: {attempts: 3, backoff: {first: 1s, max: 1s, jitter: 0}}
            """,
        )

    def start(self) -> Popen[str]:
        process = start("run", self.project.path, "--redis", self._url, cwd=self.project.root)
        self.processes.append(process)
        return process

    def key(self, what: str) -> str:
        return f"{{{self.name}}}:{what}"

    def holder(self) -> Popen[str] | None:
        """Find the process that keeps house."""
        name = self.redis.get(self.key("meta:housekeeping")) or ""
        return next((one for one in self.processes if f"_{one.pid}-" in name), None)

    def put(self, count: int) -> None:
        """Append the next records."""
        for number in range(self.put_so_far, self.put_so_far + count):
            self.redis.xadd(f"{self.name}-in", {"data": json.dumps({"n": number})})
        self.put_so_far += count

    def retries(self) -> int:
        return self.redis.zcard(self.key("work:retry"))

    def written(self) -> list[int]:
        return sorted(json.loads(line)["n"] for line in self.project.lines_so_far())


@pytest.fixture
def shop(tmp_path: Path, name: str, server: StreamServer) -> Iterator[Shop]:
    shop = Shop(tmp_path / "project", name, server)
    yield shop
    for process in shop.processes:
        process.kill()
        process.communicate()
    shop.redis.delete(f"{name}-in")
    shop.redis.close()


def two(shop: Shop) -> tuple[Popen[str], Popen[str]]:
    """Start two processes; the first keeps house."""
    first = shop.start()
    eventually(lambda: shop.holder() is first)
    second = shop.start()
    eventually(lambda: shop.redis.zcard(shop.key("meta:runs")) == 2)
    return first, second


def test_a_retry_whose_process_is_killed_with_the_housekeepers_lease_comes_back_in_time(shop: Shop) -> None:
    first, second = two(shop)
    second.send_signal(signal.SIGSTOP)  # so that it is the first that puts the record off
    shop.put(1)
    eventually(lambda: shop.retries() == 1)

    first.kill()
    second.send_signal(signal.SIGCONT)

    eventually(lambda: shop.holder() is second, timeout=PERIODS)
    eventually(lambda: shop.written() == [0])


def test_while_the_housekeeper_is_paused_another_follows_and_when_it_wakes_nothing_is_doubled(
    shop: Shop,
) -> None:
    first, second = two(shop)
    shop.put(200)
    eventually(lambda: shop.retries() > 0)

    for _ in range(3):
        holder = shop.holder()
        assert holder is not None
        other = second if holder is first else first
        holder.send_signal(signal.SIGSTOP)
        eventually(lambda: shop.holder() is other, timeout=PERIODS + 1)  # noqa: B023  called at once
        shop.put(10)
        holder.send_signal(signal.SIGCONT)
        eventually(lambda: shop.retries() == 0)
        eventually(lambda: shop.holder() is not None)

    eventually(lambda: len(shop.written()) >= shop.put_so_far)
    assert shop.written() == list(range(shop.put_so_far))
    assert shop.redis.xlen(shop.key("work:dlq")) == 0
