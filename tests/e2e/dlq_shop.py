"""A shop whose run leaves dead letters, for the tests of `rsq-pipe dlq`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.guarded_server import least
from tests.support.preloaded import ANEW, COMMAND, PreloadedProcess
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE

FILL = """
redis.call('HSET', KEYS[2], 'price:dead', 1)
for i = 1, ARGV[1] do
  redis.call('XADD', KEYS[1], '*', 'data', '{"n":' .. i .. '}', 'rsq-rid', 'read:' .. i,
    'rsq-dlq-reason', 'handler_error', 'rsq-dlq-error', 'ValueError: order ' .. i .. ' has no price',
    'rsq-dlq-traceback', ARGV[2], 'rsq-dlq-at', '1700000000.0')
end
"""
# What is printed, and what is refused, does not depend on the server.
on_one_server = pytest.mark.parametrize("server", ["valkey"], indirect=True)
Run = subprocess.CompletedProcess[str]


class Shop(Project):
    """
    Hold a pipeline that fails orders without a price, and run commands on it.

    Args:
        root: An empty folder.
        pipeline: The pipeline's name.
        server: Where it runs.
    """

    def __init__(self, root: Path, pipeline: str, server: StreamServer) -> None:
        super().__init__(root, pipeline)
        self.server = server
        self.spec(
            """
            read: {source: {type: jsonl, path: in.jsonl}}
            price: {call: 'handlers:price'}
            out: {sink: {type: jsonl, path: out.jsonl}}
            """,
            top='telemetry: {ui: "http://jaeger:16686"}',
        )
        self.handlers(
            """
            def price(order: dict) -> dict:
                if order["price"] is None:
                    raise ValueError(f"order {order['n']} has no price")
                return {**order, "total": 2 * order["price"]}
            """
        )

    def start(self, *words: str, anew: bool = False, **settings: Any) -> subprocess.Popen[str]:
        environ = {key: value for key, value in os.environ.items() if not key.startswith(("RSQ_", "OTEL_"))}
        least_words, environ = least(
            words, environ | {"RSQ_PIPE_REDIS": self.server.url, ANEW: str(int(anew))}
        )
        return PreloadedProcess(
            [COMMAND, *least_words],
            cwd=self.root,
            env=environ,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **settings,
        )

    def do(self, *words: str) -> Run:
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def run(self) -> Run:
        return self.do("run", "pipeline.yaml")

    def dlq(self, verb: str, *words: str) -> Run:
        return self.do("dlq", verb, "pipeline.yaml", *words)

    def documents(self, verb: str, *words: str) -> list[dict[str, Any]]:
        """Run a `dlq` command with --json and read what it prints."""
        done = self.dlq(verb, *words, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def redis(self, *words: str | int) -> Any:
        """Ask the server, with nothing of ours in between."""
        with redis.Redis(unix_socket_path=str(self.server.socket), decode_responses=True) as client:
            return client.execute_command(*words)

    def length(self, stream: str) -> int:
        return int(self.redis("XLEN", f"{{{self.pipeline}}}:{stream}"))


def one_in_a_hundred_failed(shop: Shop) -> Shop:
    """Run 1,000 orders of which 1 % have no price."""
    shop.records((n for n in range(1000) if n % 100 != 3), price=5)
    shop.records((n for n in range(1000) if n % 100 == 3), price=None)
    assert shop.run().returncode == 4
    return shop
