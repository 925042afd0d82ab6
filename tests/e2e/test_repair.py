"""A sink whose file is not as the pipeline left it goes on in it on request, and nothing in it is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from tests.support.command_line import rsq_pipe
from tests.support.project import Project
from tests.support.server import StreamServer

FILE = "out/all.jsonl"
on_one_server = pytest.mark.parametrize("server", ["valkey"], indirect=True)


@pytest.fixture
def written(name: str, tmp_path: Path, server: StreamServer) -> Project:
    """A pipeline that has written ten records to its sink's file, and has ten more to read."""
    project = Project(tmp_path / "project", name)
    project.spec(
        f"read: {{source: {{type: jsonl, path: in.jsonl}}}}\nout: {{sink: {{type: jsonl, path: {FILE}}}}}"
    )
    project.records(range(10))
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert done.returncode == 0, done.stderr
    project.records(range(10, 20))
    return project


@on_one_server
def test_a_file_that_lost_acknowledged_records_is_gone_on_in_with_a_command(
    written: Project, server: StreamServer
) -> None:
    file = written.root / FILE
    lines = file.read_text().splitlines(keepends=True)
    file.write_text(
        "".join(lines[:7])
    )  # as a frozen server once made it: a copy that is three records behind
    broken = rsq_pipe("run", written.path, "--redis", server.url, cwd=written.root)

    repaired = rsq_pipe("repair", written.path, "out", "--yes", "--redis", server.url, cwd=written.root)
    at_once = file.read_text()
    again = rsq_pipe("run", written.path, "--redis", server.url, cwd=written.root)

    assert broken.returncode == 1
    assert f"rsq-pipe repair {written.path} out" in broken.stderr
    assert repaired.returncode == 0, repaired.stderr
    missing = len("".join(lines[7:]))
    assert f"at least {missing} bytes of acknowledged records are not in it" in repaired.stdout
    assert at_once == "".join(lines[:7])
    assert again.returncode == 0, again.stderr
    assert written.numbers(FILE) == [*range(7), *range(10, 20)]


@on_one_server
def test_another_file_under_the_name_is_kept_whole_and_its_last_line_ended(
    written: Project, server: StreamServer
) -> None:
    file = written.root / FILE
    file.write_text('{"n": 100}\n' * 20 + '{"n": 101}')

    repaired = rsq_pipe("repair", written.path, "out", "--yes", "--redis", server.url, cwd=written.root)
    again = rsq_pipe("run", written.path, "--redis", server.url, cwd=written.root)

    assert "it is another file" in repaired.stdout
    assert "its last line has no newline" in repaired.stdout
    assert again.returncode == 0, again.stderr
    assert written.numbers(FILE) == [*range(10, 20), *[100] * 20, 101]


@on_one_server
@pytest.mark.parametrize(
    ("act", "says"),
    {
        "nothing": "is the file that the pipeline wrote",
        "more": "is the file that the pipeline wrote",
        "moved away": "the next run begins it again",
    }.items(),
)
def test_where_a_run_goes_on_by_itself_there_is_nothing_to_repair(
    written: Project, server: StreamServer, act: str, says: str
) -> None:
    file = written.root / FILE
    if act == "moved away":
        file.rename(file.with_suffix(".old"))
    elif act == "more":
        with file.open("a") as text:
            text.write("{}\n")
    before = stored(server, written)

    looked = rsq_pipe("repair", written.path, "out", "--redis", server.url, cwd=written.root)

    assert looked.returncode == 0, looked.stderr
    assert f"nothing to repair: {'there is no ' if act == 'moved away' else ''}{FILE}" in looked.stdout
    assert says in looked.stdout
    assert stored(server, written) == before


@on_one_server
def test_without_a_terminal_and_yes_nothing_is_repaired(written: Project, server: StreamServer) -> None:
    (written.root / FILE).write_text("{}\n")
    before = stored(server, written)

    asked = rsq_pipe("repair", written.path, "out", "--redis", server.url, cwd=written.root)

    assert asked.returncode == 2
    assert "add --yes" in asked.stderr
    assert stored(server, written) == before


@on_one_server
def test_a_file_that_a_run_is_writing_is_not_repaired(written: Project, server: StreamServer) -> None:
    (written.root / FILE).write_text('{"n": 1}\n')
    before = stored(server, written)
    with Redis.from_url(server.url) as redis:  # the lease of a writer elsewhere
        key = f"{{{written.pipeline}}}:out:lease:{FILE}"
        redis.set(key, "lease_elsewhere_1-000000000000", px=60_000)

        refused = rsq_pipe("repair", written.path, "out", "--yes", "--redis", server.url, cwd=written.root)

    assert refused.returncode == 1
    assert "is being written by lease_elsewhere" in refused.stderr
    assert stored(server, written) == before


@on_one_server
@pytest.mark.parametrize(("stage", "code"), [("read", 1), ("nowhere", 2)])
def test_what_has_no_file_is_not_repaired(
    written: Project, server: StreamServer, stage: str, code: int
) -> None:
    refused = rsq_pipe("repair", written.path, stage, "--yes", "--redis", server.url, cwd=written.root)

    assert refused.returncode == code
    assert stage in refused.stderr
    assert "Traceback" not in refused.stderr


def stored(server: StreamServer, project: Project) -> bytes:
    with Redis.from_url(server.url) as redis:
        found = redis.hget(f"{{{project.pipeline}}}:meta", f"position:out:{FILE}")
    assert isinstance(found, bytes)
    return found
