"""A key of a pipeline that holds something else is named by every command that meets it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

SPEC = """
    read: {source: {type: jsonl, path: in.jsonl}}
    work: {map: {n: "n / 0"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    made = Project(tmp_path / "project", name)
    made.spec(SPEC, defaults="defaults: {retry: {attempts: 1}}")
    made.records([1])
    return made


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("work:dlq", ("dlq", "list")),
        ("work:dlq", ("dlq", "show")),
        ("work:dlq", ("dlq", "replay", "--yes")),
        ("work:dlq", ("dlq", "purge", "--yes")),
        ("work:retry", ("plan",)),
        ("work:retry", ("plan", "--prune")),
    ],
)
def test_a_command_names_the_key_that_holds_something_else(
    server: StreamServer, project: Project, key: str, words: tuple[str, ...]
) -> None:
    given = ("--redis", server.url)
    rsq_pipe("run", project.path, *given, cwd=project.root)
    asyncio.run(_spoil(server.url, f"{{{project.pipeline}}}:{key}"))

    command = [word for word in words if not word.startswith("--")]
    options = [word for word in words if word.startswith("--")]
    done = rsq_pipe(*command, project.path, *given, *options, cwd=project.root)

    assert done.returncode == 1, done.stdout
    wanted = "zset" if key.endswith("retry") else "stream"
    assert f"the key '{{{project.pipeline}}}:{key}' holds a string" in done.stderr
    assert f"needs a {wanted} there; rename or delete that key" in done.stderr


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_command_that_has_the_name_alone_names_the_key_as_well(
    server: StreamServer, project: Project
) -> None:
    rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    asyncio.run(_spoil(server.url, f"{{{project.pipeline}}}:work:dlq"))

    done = rsq_pipe("dlq", "list", project.pipeline, "--redis", server.url, cwd=project.root)

    assert "work:dlq' holds a string" in done.stderr


async def _spoil(url: str, key: str) -> None:
    async with StreamClient.from_url(url) as client:
        await client.channel.execute("DEL", key, key=key)
        await client.channel.execute("SET", key, "not ours", key=key)
