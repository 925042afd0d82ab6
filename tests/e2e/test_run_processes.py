"""Several processes of one pipeline: supervised, side by side, and on one embedded server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import redis

from tests.support.command_line import rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import PATIENCE, eventually

COUNT = 2_000
STAGES = """
    read: {source: {type: jsonl, path: in.jsonl}}
    slow: {call: "handlers:slow"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def valkey() -> Iterator[StreamServer]:
    with GuardedServer(binaries()["valkey"]) as server:
        yield server


@pytest.fixture
def project(project: Project) -> Project:
    """A pipeline whose processes write down who they are."""
    project.records(range(COUNT))
    project.handlers("""
        import os
        import time
        from pathlib import Path

        def slow(record):
            Path(f"pids/{os.getpid()}").touch()
            time.sleep(0.001)
            return record
    """)
    (project.root / "pids").mkdir()
    project.spec(STAGES, top="max_backlog: 400\nreclaim: {idle: 500ms}")
    return project


@pytest.fixture
def supervised(project: Project, valkey: StreamServer) -> Iterator[subprocess.Popen[str]]:
    """Three processes at work, and their supervisor."""
    process = start("run", project.path, "--redis", valkey.url, "--processes", "3", cwd=project.root)
    eventually(lambda: len(workers(project)) == 3, what="three processes are at work")
    yield process
    process.kill()
    process.communicate()
    eventually(
        lambda: not any(map(is_alive, workers(project))), what="the processes end with their supervisor"
    )


def workers(project: Project) -> list[int]:
    return [int(path.name) for path in (project.root / "pids").iterdir()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_is_killed_is_started_anew_and_nothing_is_lost_by_it(
    project: Project, supervised: subprocess.Popen[str]
) -> None:
    for pid in workers(project)[:2]:
        os.kill(pid, signal.SIGKILL)

    _, stderr = supervised.communicate(timeout=PATIENCE)

    assert supervised.returncode == 0, stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    assert stderr.count("a process died and is started again") == 2
    assert stderr.count("killed by SIGKILL, as by the system if memory runs out") == 2
    assert "trying again" not in stderr, "it is told once"
    assert "done in" in stderr


def test_processes_that_are_started_again_on_a_server_without_its_data_do_not_begin_anew(
    project: Project, supervised: subprocess.Popen[str], valkey: StreamServer
) -> None:
    valkey.kill()
    for pid in workers(project):
        os.kill(pid, signal.SIGKILL)
    valkey.start()  # it stored nothing

    _, stderr = supervised.communicate(timeout=PATIENCE)

    assert supervised.returncode == 1, stderr
    assert "has lost all that pipeline" in stderr
    assert "--fresh" in stderr
    with redis.Redis.from_url(valkey.url) as client:
        assert not client.exists(f"{{{project.pipeline}}}:read"), "nothing was read again"


@pytest.mark.usefixtures("supervised")
def test_of_several_processes_one_reads_and_another_writes(
    project: Project, valkey: StreamServer, name: str
) -> None:
    def holder(lease: str) -> str:
        with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
            return str(client.get(f"{{{name}}}:{lease}") or "")

    eventually(
        lambda: holder("read:lease:source") and holder("out:lease:out/all.jsonl"),
        what="the source and the sink have their owners",
    )
    reader, writer = (
        holder(lease).rpartition("-")[0] for lease in ("read:lease:source", "out:lease:out/all.jsonl")
    )

    assert reader != writer


@pytest.mark.parametrize("code", [0, 1, 4])
def test_a_process_that_a_handler_ends_is_started_anew_whatever_its_exit_code(
    project: Project, valkey: StreamServer, code: int
) -> None:
    project.handlers(f"""
        import os
        from pathlib import Path

        def slow(record):
            if record["n"] == 5 and not Path("left").exists():
                Path("left").touch()
                os._exit({code})
            return record
    """)

    done = rsq_pipe("run", project.path, "--redis", valkey.url, "--processes", "2", cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("a process died and is started again") == 1
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_each_process_imports_handlers_for_itself(project: Project, valkey: StreamServer) -> None:
    project.handlers("""
        import os
        from pathlib import Path

        IMPORTED_BY = os.getpid()

        def slow(record):
            assert os.getpid() == IMPORTED_BY
            Path(f"pids/{os.getpid()}").touch()
            return record
    """)

    done = rsq_pipe("run", project.path, "--redis", valkey.url, "--processes", "2", cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))
    assert workers(project)


def test_a_wrong_file_is_told_of_once_by_all_processes(project: Project, valkey: StreamServer) -> None:
    project.spec(STAGES.replace("handlers:slow", "handlers:fast"))

    done = rsq_pipe("run", project.path, "--redis", valkey.url, "--processes", "3", cwd=project.root)

    assert done.returncode == 2
    assert done.stderr.count("nothing was run") == 1, done.stderr


def test_where_one_process_has_seen_that_all_is_done_the_others_end_too(
    project: Project, valkey: StreamServer
) -> None:
    project.handlers("""
        def slow(record):
            return record
    """)

    done = rsq_pipe(
        *("run", project.path, "--redis", valkey.url, "--processes", "2", "--json"), cwd=project.root
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finished"] is True
    assert "stopped after" not in done.stderr


def test_a_process_that_has_ended_by_itself_is_not_cut_short_by_the_end_of_another(
    project: Project, valkey: StreamServer
) -> None:
    project.handlers("""
        import atexit
        import os
        import time
        from pathlib import Path

        def leave():
            Path(f"leaving/{os.getpid()}").touch()
            until = time.monotonic() + 30
            while not Path("go").exists() and time.monotonic() < until:
                time.sleep(0.01)
            Path(f"left/{os.getpid()}").touch()

        def slow(record):
            if not Path(f"pids/{os.getpid()}").exists():
                Path(f"pids/{os.getpid()}").touch()
                atexit.register(leave)
            return record
    """)
    for name in ("leaving", "left"):
        (project.root / name).mkdir()
    run = start("run", project.path, "--redis", valkey.url, "--processes", "2", cwd=project.root)
    eventually(lambda: len(workers(project)) == 2, what="two processes are at work")
    leaving = project.root / "leaving"

    run.send_signal(signal.SIGSTOP)  # nobody hears that the first of them has ended
    eventually(lambda: len([*leaving.iterdir()]) == 2, what="both have seen the end of the run")
    run.send_signal(signal.SIGCONT)
    with suppress(AssertionError):
        eventually(lambda: not all(map(is_alive, workers(project))), what="one is killed", timeout=1)
    (project.root / "go").touch()

    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert len([*(project.root / "left").iterdir()]) == 2


def test_processes_import_what_one_process_imports(project: Project, valkey: StreamServer) -> None:
    elsewhere = project.root.parent / "elsewhere"
    (elsewhere / "pids").mkdir(parents=True)
    (elsewhere / "random.py").write_text("raise SystemExit('imported from the current folder')\n")

    done = rsq_pipe("run", project.path, "--redis", valkey.url, "--processes", "2", cwd=elsewhere)

    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


@pytest.mark.parametrize("options", [[], ["--processes", "2"]])
def test_a_stop_while_a_run_starts_is_a_clean_one(
    project: Project, valkey: StreamServer, options: list[str]
) -> None:
    for delay in (0.1, 0.2, 0.3, 0.5):
        process = start("run", project.path, "--redis", valkey.url, *options, cwd=project.root)
        with suppress(subprocess.TimeoutExpired):  # at work, or on the way there
            process.wait(delay)

        process.send_signal(signal.SIGTERM)

        _, stderr = process.communicate(timeout=PATIENCE)
        if process.returncode == -signal.SIGTERM and not stderr and delay < 0.2:
            continue  # on a busy machine, before Python has read the first line of ours
        assert process.returncode == 0, f"after {delay} s: {stderr}"
        assert "stopped after" in stderr
        assert "died" not in stderr
        assert not any(map(is_alive, workers(project)))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_supervisor_drains_them_all(
    project: Project, valkey: StreamServer, supervised: subprocess.Popen[str], number: signal.Signals
) -> None:
    supervised.send_signal(number)

    _, stderr = supervised.communicate(timeout=PATIENCE)

    assert supervised.returncode == 0, stderr
    assert "stopped after" in stderr
    assert not any(map(is_alive, workers(project)))
    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_each_line_of_a_log_says_which_process_it_is_of_and_none_that_a_sibling_does_its_part(
    project: Project, valkey: StreamServer
) -> None:
    project.handlers(
        """
        import structlog

        def slow(record):
            structlog.get_logger().info("worked")
            return record
        """
    )
    words = ("run", project.path, "--redis", valkey.url, "--processes", "3", "--log-format", "json")
    done = rsq_pipe(*words, cwd=project.root)

    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    worked = [line["process"] for line in lines if line["event"] == "worked"]
    assert worked
    assert set(worked) <= {0, 1, 2}
    assert "standing by" not in done.stderr


OFTEN = """
import sys
from rsq_pipe.cli.running import progress
from rsq_pipe.engine.processes import reports
progress.INTERVAL, reports.PERIOD = 0.5, 0.1
from rsq_pipe.cli.main import main
sys.argv[0] = "rsq-pipe"
main()
"""
"""The command line, with a line about its progress every half second."""


def test_processes_log_their_progress_once_for_all_of_them(project: Project, valkey: StreamServer) -> None:
    words = ("run", project.path, "--redis", valkey.url, "--processes", "3", "--log-format", "json")
    done = subprocess.run(
        [sys.executable, "-c", OFTEN, *words],
        cwd=project.root,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )

    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    running = [line for line in lines if line["event"] == "running"]
    assert {line.get("process") for line in running} == {None}, "the supervisor's"
    assert any(" read" in line["read"] for line in running), "it knows what a process reads"
    assert [line["event"] for line in lines].count("done") == 1


def test_what_a_killed_run_left_is_taken_over_once_by_several_processes(
    project: Project, valkey: StreamServer
) -> None:
    with start("run", project.path, "--redis", valkey.url, cwd=project.root) as killed:
        eventually(lambda: workers(project), what="it is at work")
        killed.kill()

    words = ("run", project.path, "--redis", valkey.url, "--processes", "3", "--log-format", "json")
    done = rsq_pipe(*words, cwd=project.root)

    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    taken = [line for line in lines if line["event"].startswith("took over")]
    assert [(line["stages"], line.get("process")) for line in taken] == [(["slow"], None)]
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_when_the_supervisor_is_killed_its_processes_drain_and_end(
    project: Project, valkey: StreamServer, supervised: subprocess.Popen[str]
) -> None:
    pids = workers(project)

    supervised.kill()

    eventually(lambda: not any(map(is_alive, pids)), what="no process is left behind")
    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_a_stage_that_cannot_go_on_ends_all_processes_with_code_1(
    project: Project, valkey: StreamServer
) -> None:
    (project.root / "out").mkdir()
    (project.root / "out/all.jsonl").write_text("precious\n")

    done = rsq_pipe("run", project.path, "--redis", valkey.url, "--processes", "2", cwd=project.root)

    assert done.returncode == 1
    assert "was not written by this pipeline" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_embedded_server_that_two_runs_share_outlives_the_first_of_them(project: Project) -> None:
    first = start("run", project.path, cwd=project.root)
    eventually(lambda: len(workers(project)) == 1, what="the first run is at work")
    second = start("run", project.path, cwd=project.root)
    eventually(lambda: len(workers(project)) == 2, what="the second run is at work")

    first.send_signal(signal.SIGTERM)
    _, stderr = first.communicate(timeout=PATIENCE)
    assert first.returncode == 0, stderr
    _, stderr = second.communicate(timeout=PATIENCE)

    assert second.returncode == 0, stderr
    assert "done in" in stderr
    assert project.numbers("out/all.jsonl") == list(range(COUNT))


def test_of_two_runs_at_once_each_says_that_the_numbers_are_of_both(
    project: Project, valkey: StreamServer
) -> None:
    runs = [start("run", project.path, "--redis", valkey.url, cwd=project.root)]
    eventually(lambda: len(workers(project)) == 1, what="the first run is at work")
    runs.append(start("run", project.path, "--redis", valkey.url, cwd=project.root))
    eventually(lambda: len(workers(project)) == 2, what="both are at work")

    # A run looks for others as it begins and as it ends: so the first must end first.
    said = []
    for process in runs:
        process.send_signal(signal.SIGTERM)
        said.append(process.communicate(timeout=PATIENCE)[1])

    assert "the numbers are of all processes that ran it at the same time, 1 other among them" in said[0]
    assert "1 other among them" in said[1]
