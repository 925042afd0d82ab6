"""
A server that holds what release 0.1 left is taken over.

The commands are those of an append-only file: 0.1 ran the pipeline below on 300 records, with longer pauses
between attempts, and was killed with -9. It left 40 records not delivered to `check`, 4 in its `again`
stream, 28 waiting for their second attempt and one dead letter; 20 pending and 134 not delivered to `slow`;
the source's position at its end, and 77 lines in the sink's file.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
from pathlib import Path

from rsq_pipe.engine.runner import Runner
from rsq_pipe.engine.state.count_fields import appended, settled
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE

LEFT = Path(__file__).parent / "left_by_0_1"
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    check: {call: "handlers:check"}
    slow: {call: "handlers:slow"}
    out: {sink: {type: jsonl, path: out.jsonl}}
"""
TOP = "max_backlog: 150\nreclaim: {idle: 300ms}\n"
DEFAULTS = """
    defaults:
      retry: {attempts: 2, backoff: {first: 20ms, max: 50ms}}
"""
HANDLERS = """
    def check(record, ctx):
        if record["n"] % 50 == 7:
            raise ValueError("never")
        if record["n"] % 10 == 3 and ctx.attempt == 1:
            raise RuntimeError("not yet")
        return record

    def slow(record):
        return record
"""
COUNT = 300


async def replay(server: StreamServer) -> None:
    """Have a server execute the commands of the append-only file."""
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    writer.write(gzip.decompress((LEFT / "commands.aof.gz").read_bytes()))
    writer.write(b"*2\r\n$4\r\nECHO\r\n$4\r\nlast\r\n")
    replies = await asyncio.wait_for(reader.readuntil(b"$4\r\nlast\r\n"), PATIENCE)
    writer.close()
    assert b"\r\n-" not in replies, replies[:300]


async def test_what_0_1_left_in_streams_retries_dead_letters_and_positions_is_gone_on_with(
    own_server: StreamServer, tmp_path: Path
) -> None:
    project = Project(tmp_path / "project", "left")
    project.records(range(COUNT))
    project.handlers(HANDLERS)
    project.spec(STAGES, top=TOP, defaults=DEFAULTS)
    shutil.copy(LEFT / "out.jsonl", project.root / "out.jsonl")
    await replay(own_server)
    key = "{left}"
    async with StreamClient.from_url(own_server.url) as client:
        runner = Runner(load(project.path), client)
        async with asyncio.timeout(60):
            summary = await runner.run()
        letters = await client.channel.execute("XLEN", f"{key}:check:dlq", key=f"{key}:check:dlq")
        counts = await client.channel.execute(
            *("HMGET", f"{key}:meta", appended(f"{key}:check"), settled("slow", f"{key}:check")),
            key=f"{key}:meta",
        )

    assert summary.finished
    never = [n for n in range(COUNT) if n % 50 == 7]
    lines = [json.loads(line)["n"] for line in (project.root / "out.jsonl").read_text().splitlines()]
    assert sorted(lines) == [n for n in range(COUNT) if n not in never]
    assert letters == len(never)
    assert summary.stages["read"].received == 0
    assert counts[0] == counts[1]
