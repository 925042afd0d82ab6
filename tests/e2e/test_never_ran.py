"""A pipeline that never ran: all commands that look at it give one answer, and start no server for that."""

from __future__ import annotations

import pytest

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

on_one_server = pytest.mark.parametrize("server", ["valkey"], indirect=True)
LOOKS = [
    ("status", "SPEC"),
    ("plan", "SPEC"),
    ("dlq", "list", "SPEC"),
    ("peek", "SPEC", "write"),
]
SEARCHES = [
    ("trace", "read:in.jsonl:1", "SPEC"),
    ("dlq", "show", "SPEC", "write/1-1"),
    ("dlq", "export", "SPEC"),
]
STAGES = """
    read:
      source: {type: jsonl, path: in.jsonl}
    write:
      sink: {type: jsonl, path: out.jsonl}
"""


@pytest.fixture
def project(project: Project) -> Project:
    project.spec(STAGES)
    project.records(range(2))
    return project


@pytest.mark.parametrize("words", [*LOOKS, *SEARCHES], ids=" ".join)
def test_without_a_server_of_its_own_it_is_said_and_none_is_started(
    project: Project, words: tuple[str, ...]
) -> None:
    done = rsq_pipe(*_filled(words, project), cwd=project.root)

    said = f"{project.pipeline}: never ran: its embedded server was never started;"
    assert " ".join((done.stdout + done.stderr).split()).removeprefix("rsq-pipe: ").startswith(said)
    assert done.returncode == (0 if words in LOOKS else 1)
    assert not (project.root / ".rsq" / "data").exists()


@on_one_server
@pytest.mark.parametrize("words", [*LOOKS, *SEARCHES], ids=" ".join)
def test_on_a_server_of_others_it_is_said_with_the_servers_name(
    project: Project, server: StreamServer, words: tuple[str, ...]
) -> None:
    done = rsq_pipe(*_filled(words, project), "--redis", server.url, cwd=project.root)

    told = " ".join((done.stdout + done.stderr).split()).removeprefix("rsq-pipe: ")
    assert told.startswith(f"{project.pipeline}: never ran on {server.address};")
    assert "if it did here, it was deleted, or the server has lost its data" in told
    assert done.returncode == (0 if words in LOOKS else 1)


def _filled(words: tuple[str, ...], project: Project) -> list[str]:
    return [str(project.path) if word == "SPEC" else word for word in words]
