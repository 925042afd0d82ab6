"""`rsq-pipe status` as a process: for people, for machines, as a probe."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rich.text import Text

from tests.support.command_line import COMMAND, rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, eventually

STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    odd: {map: {m: "1 / (n % 2)"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def project(name: str, tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", name)
    project.spec(STAGES)
    project.records(range(10))
    return project


@pytest.fixture
def finished(project: Project, server: StreamServer) -> Project:
    """A pipeline that has run on the server, and left five dead letters."""
    done = rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=server.url)
    assert done.returncode == 4, done.stderr
    return project


@contextmanager
def watching(project: Project, url: str) -> Iterator[subprocess.Popen[str]]:
    """Watch as JSON until the test is over."""
    words = ("status", project.path, "--watch", "--every", "50ms", "--json", "--redis", url)
    process = start(*words, cwd=project.root)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(process: subprocess.Popen[str], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Read what is printed until there is a document of the wanted kind; the test's timeout ends the wait."""
    assert process.stdout is not None
    return next(document for line in process.stdout if wanted(document := json.loads(line)))


def looked(project: Project, server: StreamServer) -> dict[str, Any]:
    done = rsq_pipe("status", project.path, "--json", "--redis", server.url, cwd=project.root)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def nothing_waits(document: dict[str, Any]) -> bool:
    return all(stage["lag"] == stage["pending"] == stage["retry"] == 0 for stage in document["stages"])


def printed_on_a_terminal(*words: str | Path, cwd: Path, **environ: str) -> list[str]:
    """Run a command to its end on a terminal, and return what it shows."""
    terminal, own_end = os.openpty()
    environ = {**os.environ, "TERM": "xterm", **environ}
    with subprocess.Popen([COMMAND, *words], cwd=cwd, env=environ, stdout=own_end) as process:
        process.wait(timeout=PATIENCE)
    os.close(own_end)
    shown = os.read(terminal, 65_536).decode().replace("\r\n", "\n")
    os.close(terminal)
    return [line.rstrip() for line in Text.from_ansi(shown).plain.splitlines()]


def test_the_error_that_ended_the_last_run_is_told_until_a_run_comes_to_its_end(
    project: Project, server: StreamServer
) -> None:
    foreign = project.root / "out" / "all.jsonl"
    foreign.parent.mkdir()
    foreign.write_text("{}\n")

    failed = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert failed.returncode == 1
    told = looked(project, server)["failed"]
    shown = rsq_pipe("status", project.path, "--redis", server.url, cwd=project.root).stdout
    assert "all.jsonl" in told["why"]
    assert told["why"] in failed.stderr
    assert 0 <= told["seconds"] < 60
    assert any(
        line.startswith("the last run ended ") and " ago by an error: stage 'out': " in line
        for line in shown.splitlines()
    )

    foreign.unlink()
    assert rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root).returncode == 0
    assert looked(project, server)["failed"] is None


def test_an_embedded_server_that_was_never_started_is_not_started_to_look(project: Project) -> None:
    done = rsq_pipe("status", project.path, cwd=project.root)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{project.pipeline}: never ran: its embedded server was never started; ")
    assert list((project.root / ".rsq").iterdir()) == []


def test_a_probe_of_a_server_the_pipeline_never_ran_on_is_code_1_and_without_a_bound_0(
    project: Project, server: StreamServer
) -> None:
    words = ("status", project.path, "--redis", server.url)

    probe = rsq_pipe(*words, "--max-lag", "100", cwd=project.root)
    look = rsq_pipe(*words, cwd=project.root)

    assert (probe.returncode, look.returncode) == (1, 0)
    assert "! no bound can be measured" in probe.stdout
    assert look.stdout.startswith(f"{project.pipeline}: never ran on {server.address}; ")


def test_an_embedded_server_that_has_ended_is_started_to_see_what_is_left(project: Project) -> None:
    rsq_pipe("run", project.path, cwd=project.root)

    done = rsq_pipe("status", project.path, "--json", cwd=project.root)

    assert done.returncode == 0, done.stderr
    status = json.loads(done.stdout)
    assert (status["ran"], status["runs"], status["drained"]) == (True, [], True)
    assert {stage["name"]: stage["dead"] for stage in status["stages"]} == {"read": 0, "odd": 5, "out": 0}


def test_the_table_has_a_line_a_stage(finished: Project, server: StreamServer) -> None:
    done = rsq_pipe("status", finished.path, "--redis", server.url, cwd=finished.root)

    lines = done.stdout.splitlines()
    assert lines[0] == f"{finished.pipeline} on {server.address}: not running, drained"
    assert [line.split()[0] for line in lines[1:]] == ["stage", "read", "odd", "out"]
    assert lines[3].split() == ["odd", "(fused)", "0", "0", "0", "5", "0", "-", "10"]


def test_on_a_narrow_terminal_a_stage_is_a_paragraph(finished: Project, server: StreamServer) -> None:
    words = ("status", finished.path, "--redis", server.url)

    lines = printed_on_a_terminal(*words, cwd=finished.root, COLUMNS="40")

    assert all(len(line) <= 40 for line in lines)
    below = " ".join(lines[lines.index("odd (fused)") + 1 : lines.index("out")])
    assert " ".join(below.split()) == "lag 0 pending 0 retry 0 dead 5 consumers 0 records 10"


@pytest.mark.parametrize(
    ("bounds", "code", "said"),
    [
        (["--max-dlq", "5", "--max-lag", "0", "--max-oldest", "1s"], 0, ""),
        (["--max-dlq", "4"], 1, "! stage 'odd': 5 dead letters; --max-dlq is 4"),
        (["--max-dlq", "4", "--stage", "out"], 0, ""),
    ],
    ids=["holds", "passed", "passed by another stage"],
)
def test_a_bound_that_is_passed_is_named_and_the_exit_code(
    finished: Project, server: StreamServer, bounds: list[str], code: int, said: str
) -> None:
    done = rsq_pipe("status", finished.path, "--redis", server.url, *bounds, cwd=finished.root)

    assert done.returncode == code
    assert said in done.stdout
    assert done.stdout.count("!") == code


def test_a_server_full_of_dead_letters_is_said_and_is_code_1_while_the_source_waits(
    project: Project, own_server: StreamServer
) -> None:
    project.records(range(3_000), filler="x" * 1_000)
    with GuardedServer(own_server.binary, config={"maxmemory": "3mb"}) as small:
        run = start("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=small.url)
        try:
            full = eventually(
                lambda: found if (found := looked(project, small))["full"] and nothing_waits(found) else None,
                what="the server is full and all that had room is settled",
            )
            once = rsq_pipe("status", project.path, "--redis", small.url, cwd=project.root)
        finally:
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=PATIENCE)

    assert full is not None
    assert (len(full["runs"]), full["drained"]) == (1, False)
    assert [breach["bound"] for breach in full["breaches"]] == ["full"]
    assert once.returncode == 1, once.stdout
    assert "drained" not in once.stdout
    assert "! the server is full" in once.stdout
    assert "of stage 'odd'" in once.stdout


def test_a_user_who_may_not_ask_for_the_memory_sees_the_rest(
    finished: Project, own_server: StreamServer
) -> None:
    _allow(own_server, "ACL", "SETUSER", "looks", "on", ">secret", "~*", "+@all", "-info")

    done = rsq_pipe("status", finished.path, "--json", "--redis", _as_user(own_server), cwd=finished.root)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["memory"], document["full"]) == (None, False)


def _allow(server: StreamServer, *words: str) -> None:
    with Redis(unix_socket_path=str(server.socket)) as admin:
        admin.execute_command(*words)


def _as_user(server: StreamServer) -> str:
    return f"redis://looks:secret@127.0.0.1:{server.port}"


def test_a_user_of_other_keys_is_told_which_key_and_what_to_do(
    finished: Project, own_server: StreamServer
) -> None:
    _allow(own_server, "ACL", "SETUSER", "looks", "on", ">secret", "~other:*", "+@all")

    done = rsq_pipe("status", finished.path, "--redis", _as_user(own_server), cwd=finished.root)

    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "may not use the key" in said
    assert f"{{{finished.pipeline}}}:" in said
    assert "rsq-pipe doctor --redis URL" in said
    assert "EXECABORT" not in said
    assert "secret" not in said


def test_a_breach_stands_in_the_json_document(finished: Project, server: StreamServer) -> None:
    done = rsq_pipe(
        "status", finished.path, "--json", "--max-dlq", "0", "--redis", server.url, cwd=finished.root
    )

    assert done.returncode == 1
    (breach,) = json.loads(done.stdout)["breaches"]
    assert (breach["bound"], breach["stage"], breach["seen"], breach["limit"]) == ("max-dlq", "odd", 5, 0)


def test_a_server_that_is_not_there_is_code_3_without_a_traceback(project: Project) -> None:
    done = rsq_pipe("status", project.path, "--redis", "redis://127.0.0.1:1", cwd=project.root)

    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("rsq-pipe: server 127.0.0.1:1 is not reachable")
    assert "Traceback" not in done.stderr


def test_a_stage_that_does_not_exist_is_the_users_mistake(project: Project) -> None:
    done = rsq_pipe("status", project.path, "--stage", "ood", cwd=project.root)

    assert done.returncode == 2
    assert "did you mean 'odd'?" in " ".join(done.stderr.replace("│", " ").split())


def test_watching_goes_on_through_an_outage_and_ends_with_ctrl_c(
    project: Project, own_server: StreamServer
) -> None:
    rsq_pipe("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=own_server.tcp_url)
    with watching(project, own_server.tcp_url) as process:
        seen(process, lambda document: document["ran"])

        own_server.kill()
        assert "not reachable" in seen(process, lambda document: "error" in document)["error"]

        own_server.start()
        assert seen(process, lambda document: "error" not in document)["ran"]

        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0


def test_a_run_under_way_has_a_rate_and_consumers(project: Project, server: StreamServer, name: str) -> None:
    project.spec(f'odd: {{from: {{stream: {name}-in}}, map: {{m: "n"}}}}\nout: {{sink: {{type: stdout}}}}')
    run = start("run", project.path, cwd=project.root, RSQ_PIPE_REDIS=server.url)
    try:
        with watching(project, server.url) as process:
            found = seen(process, lambda document: all(stage["alive"] for stage in document["stages"]))
            assert len(found["runs"]) == 1
        once = rsq_pipe("status", project.path, "--json", "--redis", server.url, cwd=project.root)
        assert [stage["rate"] for stage in json.loads(once.stdout)["stages"]] == [0.0, 0.0]
    finally:
        run.send_signal(signal.SIGTERM)
        run.communicate(timeout=PATIENCE)


def test_a_pipeline_that_was_stopped_in_the_middle_of_its_file_is_not_simply_drained(
    tmp_path: Path, name: str, server: StreamServer
) -> None:
    project = Project(tmp_path / "project", name)
    project.records(range(5))
    project.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        out: {sink: {type: jsonl, path: out.jsonl}}
        """
    )
    where = ("--redis", server.url)

    def headline() -> str:
        return rsq_pipe("status", project.path, *where, cwd=project.root).stdout.splitlines()[0]

    rsq_pipe("run", project.path, *where, "--limit", "2", cwd=project.root)
    told = "not running, what it has read is drained, but the last run ended before its sources did"
    assert headline().endswith(told)
    assert looked(project, server)["unread"] is True

    rsq_pipe("run", project.path, *where, cwd=project.root)
    assert headline().endswith("not running, drained")
    assert looked(project, server)["unread"] is False

    rsq_pipe("run", project.path, *where, "--fresh", "--processes", "2", cwd=project.root)
    assert headline().endswith("not running, drained")


def test_a_run_that_a_handler_ends_without_a_word_is_told_of_by_status_and_by_the_next_run(
    tmp_path: Path, name: str, server: StreamServer
) -> None:
    project = Project(tmp_path / "project", name)
    project.records(range(3))
    project.handlers("""
        import os, pathlib

        def end(record):
            if pathlib.Path("deadly").exists():
                os._exit(3)
            return record
    """)
    project.spec(
        """
        read: {source: {type: jsonl, path: in.jsonl}}
        work: {call: "handlers:end"}
        out: {sink: {type: jsonl, path: out.jsonl}}
        """
    )
    (project.root / "deadly").touch()
    where = ("--redis", server.url)
    died = rsq_pipe("run", project.path, *where, cwd=project.root)
    assert died.returncode == 3

    failed = looked(project, server)["failed"]
    assert "ended without a word: it was killed, its own code ended it, as os._exit does" in failed["why"]
    shown = rsq_pipe("status", project.path, *where, cwd=project.root).stdout
    assert "work: 1 consumer is gone and left records in flight" in shown

    (project.root / "deadly").unlink()
    again = rsq_pipe("run", project.path, *where, cwd=project.root)
    assert again.returncode == 0, again.stderr
    assert "an earlier run: its process ended without a word" in again.stderr
    assert '"stages": ["work"]' in again.stderr
    assert looked(project, server)["failed"] is None
    assert project.numbers() == [0, 1, 2]
