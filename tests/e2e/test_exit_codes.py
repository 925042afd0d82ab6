"""One exit code a cause, for all commands: docs/reference/exit-codes.md."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from rsq_pipe.cli import main as command_line
from rsq_pipe.server.home import Home
from tests.support.command_line import COMMAND, rsq_pipe, start
from tests.support.project import Project
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE, TO_END, eventually

READ = "read: {source: {type: jsonl, path: in.jsonl}}"
OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"
UNREACHABLE = "redis://127.0.0.1:1"


@pytest.fixture
def project(name: str, tmp_path: Path) -> Project:
    project = Project(tmp_path / "project", name)
    project.records(range(4))
    project.spec(f"{READ}\n{OUT}")
    return project


def run(project: Project, server: StreamServer) -> tuple[int, str]:
    done = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_0_a_run_that_is_done(project: Project, server: StreamServer) -> None:
    assert run(project, server)[0] == 0


@pytest.mark.parametrize("path", ["missing.jsonl", '"missing/*.jsonl"'])
@pytest.mark.parametrize("more", [(), ("--processes", "2")])
def test_2_a_source_whose_file_is_not_there(
    project: Project, server: StreamServer, path: str, more: tuple[str, ...]
) -> None:
    project.spec(f"{READ.replace('in.jsonl', path)}\n{OUT}")

    done = rsq_pipe("run", project.path, "--redis", server.url, *more, cwd=project.root)

    assert done.returncode == 2
    assert done.stderr.startswith(f"{project.path}:10:10: stages.read.source: stage 'read': no file matches")
    assert not (project.root / "out").exists()


def test_1_a_stage_that_cannot_go_on(project: Project, server: StreamServer) -> None:
    project.spec(f'{READ}\nadd: {{map: {{m: "missing"}}, on_error: stop}}\n{OUT}')

    code, said = run(project, server)

    assert code == 1
    assert "'add'" in said


def test_1_a_doctor_who_finds_a_problem(project: Project, server: StreamServer) -> None:
    done = rsq_pipe("doctor", project.path, "--redis", server.url, cwd=project.root)

    assert done.returncode == 1
    assert "problem persistence: appendonly no" in done.stdout


def test_0_a_doctor_who_finds_none(project: Project, own_server: StreamServer) -> None:
    done = rsq_pipe("doctor", "--redis", own_server.tcp_url, cwd=project.root)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "words", [("graph",), ("validate",), ("status",), ("status", "--json"), ("doctor",)], ids=" ".join
)
def test_1_a_full_disk_behind_standard_output(
    project: Project, server: StreamServer, words: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *words, project.path],
            cwd=project.root,
            env={**os.environ, "RSQ_PIPE_REDIS": server.url},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TO_END,
            check=False,
        )

    said = "rsq-pipe: output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize(
    ("words", "code"), [(("run", "--fresh"), 0), (("run", "--processes", "2"), 0), (("status", "x.yaml"), 2)]
)
def test_a_full_disk_behind_standard_error_changes_no_exit_code(
    project: Project, server: StreamServer, words: tuple[str, ...], code: int
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, words[0], project.path, *words[1:]],
            cwd=project.root,
            env={**os.environ, "RSQ_PIPE_REDIS": server.url},
            stdout=subprocess.PIPE,
            stderr=full,
            timeout=TO_END,
            check=False,
        )

    assert done.returncode == code


@pytest.mark.parametrize("words", [("graph",), ("validate",), ("run", "--fresh")], ids=" ".join)
def test_0_a_standard_output_that_was_closed_on_purpose(
    project: Project, server: StreamServer, words: tuple[str, ...]
) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", COMMAND, *words, project.path],
        cwd=project.root,
        env={**os.environ, "RSQ_PIPE_REDIS": server.url},
        stderr=subprocess.PIPE,
        text=True,
        timeout=TO_END,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_1_an_encoding_of_standard_output_that_lacks_a_character(project: Project) -> None:
    done = rsq_pipe("graph", project.path, cwd=project.root, PYTHONIOENCODING="ascii")

    said = (
        "rsq-pipe: standard output cannot take '\\u25cf': its encoding is ascii; set PYTHONIOENCODING=utf-8\n"
    )
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("verb", ["run", "status", "doctor", "graph --live", "dlq list"])
def test_2_an_empty_server_address_is_not_taken_for_none(project: Project, verb: str) -> None:
    words: list[str | Path] = [*verb.split(), project.path]
    option = rsq_pipe(*words, "--redis", "", cwd=project.root)
    variable = rsq_pipe(*words, cwd=project.root, RSQ_PIPE_REDIS="")
    newline = rsq_pipe(*words, cwd=project.root, RSQ_PIPE_REDIS="\n")

    assert (option.returncode, variable.returncode, newline.returncode) == (2, 2, 2)
    assert "--redis is empty; leave it out" in option.stderr
    assert "RSQ_PIPE_REDIS is empty; unset it" in variable.stderr
    assert "RSQ_PIPE_REDIS is empty; unset it" in newline.stderr
    assert not Home(project.root).data.exists()


def test_0_an_empty_variable_where_a_server_is_given_or_none_is_needed(
    project: Project, server: StreamServer
) -> None:
    ran = rsq_pipe("run", project.path, "--redis", server.url, cwd=project.root, RSQ_PIPE_REDIS="")
    drawn = rsq_pipe("graph", project.path, cwd=project.root, RSQ_PIPE_REDIS="")

    assert (ran.returncode, drawn.returncode) == (0, 0), ran.stderr + drawn.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("no-such-command",),
        ("status", "--no-such-option"),
        ("doctor",),
        ("graph", "no-such-file.yaml"),
        ("run", "pipeline.yaml", "--stage", "no-such-stage"),
        ("status", "pipeline.yaml", "--redis", "not-a-url"),
        ("status", "pipeline.yaml", "--max-oldest", "5 minutes"),
        ("trace", "read:in.jsonl:1", "--file", "no-such-file.jsonl"),
    ],
    ids=" ".join,
)
def test_2_a_wrong_command_line(project: Project, words: tuple[str, ...]) -> None:
    done = rsq_pipe(*words, cwd=project.root)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["list", "show", "export", "replay", "purge"])
def test_2_a_stage_that_has_no_dead_letters_because_there_is_none(
    project: Project, server: StreamServer, command: str
) -> None:
    run(project, server)
    words = ["--stage", "ot", "--redis", server.url] + ["--yes"] * (command in {"replay", "purge"})

    done = rsq_pipe("dlq", command, project.path, *words, cwd=project.root)

    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean 'out'?" in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "status", "graph", "doctor"])
def test_2_a_wrong_pipeline_file(project: Project, command: str) -> None:
    project.spec("read: {source: {type: jsonl}}")

    done = rsq_pipe(command, project.path, cwd=project.root)

    assert (done.returncode, done.stdout) == (2, "")
    assert "pipeline.yaml:" in done.stderr


@pytest.mark.parametrize("words", [("run",), ("status",), ("graph", "--live"), ("doctor",)], ids=" ".join)
def test_3_a_server_that_is_not_reachable(project: Project, words: tuple[str, ...]) -> None:
    done = rsq_pipe(*words, project.path, "--redis", UNREACHABLE, cwd=project.root)

    assert (done.returncode, done.stdout) == (3, "")
    assert "127.0.0.1:1 is not reachable" in done.stderr
    assert "Traceback" not in done.stderr


def test_4_dead_letters_that_appeared(project: Project, server: StreamServer) -> None:
    project.spec(f'{READ}\nadd: {{map: {{m: "1 / n"}}}}\n{OUT}')

    assert run(project, server)[0] == 4
    assert run(project, server)[0] == 0  # they were there before


def test_70_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(command_line.COMMANDS, "faulty", ("tests.e2e.no_such_module", ""))
    monkeypatch.setattr("sys.argv", ["rsq-pipe", "faulty"])

    with pytest.raises(SystemExit) as ended:
        command_line.main()

    assert ended.value.code == 70
    (line, _) = capsys.readouterr().err.splitlines()
    assert line.startswith("rsq-pipe: this is a fault of rsq-pipe: ModuleNotFoundError: ")
    assert re.search(r"\(at rsq_pipe/cli/\w+\.py:\d+\)$", line), "it may happen once in a night"


def test_130_a_second_signal_while_a_run_drains(project: Project, server: StreamServer) -> None:
    project.handlers("""
        import pathlib, time

        def hang(record: dict) -> dict:
            pathlib.Path("handling").touch()
            time.sleep(60)
            return record
    """)
    project.spec(f"{READ}\nhang: {{call: 'handlers:hang'}}\n{OUT}")
    process = start("run", project.path, "--redis", server.url, "--log-format", "json", cwd=project.root)
    try:
        eventually((project.root / "handling").exists, what="a handler is called")

        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=PATIENCE) == 130
    finally:
        process.kill()
        process.communicate()


def test_a_closed_standard_input_is_an_empty_one(project: Project, server: StreamServer) -> None:
    project.spec(f"read: {{source: {{type: jsonl, path: '-'}}}}\n{OUT}")
    words = [COMMAND, "run", project.path, "--redis", server.url]

    read = closed(project, *words)
    asked = closed(project, COMMAND, "delete", project.pipeline, "--redis", server.url)

    assert (read.returncode, asked.returncode) == (0, 2), read.stderr + asked.stderr
    assert "its sources hold no records" in read.stdout + read.stderr
    assert "there is nobody to ask; add --yes" in " ".join(asked.stderr.split())


def closed(project: Project, *words: object) -> subprocess.CompletedProcess[str]:
    """Call with a standard input that is closed."""
    return subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *map(str, words)],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=TO_END,
        check=False,
    )
