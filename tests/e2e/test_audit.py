"""What is done to a pipeline on the command line stands in the list that the page shows."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.ops.audit import noted
from rsq_pipe.streams.client import StreamClient
from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    """A pipeline whose records that are no numbers, or zero, end as dead letters."""
    made = Project(tmp_path / "project", name)
    made.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        work: {map: {half: "10 // n"}, retry: {attempts: 1}}
        out: {sink: {type: jsonl, path: out.jsonl}}
        """
    )
    return made


async def test_replay_purge_pause_and_resume_are_noted_with_who_did_it(
    server: StreamServer, project: Project
) -> None:
    project.records([0, 0, 1])
    with (project.root / "in.jsonl").open("a") as file:
        file.write('{"n": "x", "again": true}\n')
    at = (project.path, "--redis", server.url)
    assert rsq_pipe("run", *at, cwd=project.root).returncode == 4
    for words in (
        ("dlq", "replay", *at, "--dry-run"),
        ("dlq", "replay", *at, "--where", "n == 'x'", "--yes"),
        ("dlq", "purge", *at, "--yes"),
        ("pause", project.path, "work", "--redis", server.url, "--why", "a look"),
        ("resume", project.path, "work", "--redis", server.url),
    ):
        done = rsq_pipe(*words, cwd=project.root)
        assert done.returncode == 0, done.stderr

    async with StreamClient.from_url(server.url) as client:
        found = await noted(client, project.pipeline)

    told = [(one["action"], one["stage"], one["state"], one.get("done")) for one in reversed(found)]
    assert told == [
        ("replay", "work", "done", 1),
        ("purge", "work", "done", 2),
        ("pause", "work", "done", None),
        ("resume", "work", "done", None),
    ]
    assert found[3]["chosen"] == {"where": "n == 'x'"}
    assert found[2]["chosen"] == {"all": True}
    assert all(one["who"].endswith(f"@{socket.gethostname()}") for one in found)


async def test_a_replay_that_mends_notes_which_fields_were_set_and_never_their_values(
    server: StreamServer, project: Project
) -> None:
    project.records([0, 0])
    at = (project.path, "--redis", server.url)
    assert rsq_pipe("run", *at, cwd=project.root).returncode == 4
    exported = rsq_pipe("dlq", "export", *at, cwd=project.root).stdout.splitlines()
    (project.root / "mended.jsonl").write_text(exported[0] + "\n")
    for words in (
        ("--edit", "mended.jsonl", "--rate", "100/s"),
        ("--set", "n=7654321", "--add", "by.whom=somebody-private"),
    ):
        done = rsq_pipe("dlq", "replay", *at, *words, "--yes", cwd=project.root)
        assert done.returncode == 0, done.stderr

    async with StreamClient.from_url(server.url) as client:
        found = await noted(client, project.pipeline)
        key = Keyspace(project.pipeline).audit
        raw = str(await client.channel.execute("XRANGE", key, "-", "+", key=key))

    mended, edited = found
    assert (mended["set"], mended.get("payload")) == (["by.whom", "n"], None)
    assert (edited.get("set"), edited["payload"], edited["rate"]) == (None, True, 100)
    assert (edited["chosen"], mended["chosen"]) == ({"ids": 1}, {"all": True})
    assert "by.whom" in raw
    assert "7654321" not in raw
    assert "somebody-private" not in raw
