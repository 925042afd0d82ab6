"""`rsq-pipe run` ends when it is told to, in time, whatever hangs, and loses nothing by it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.support.command_line import COMMAND, rsq_pipe, start
from tests.support.guarded_server import GuardedServer
from tests.support.preloaded import ANEW
from tests.support.project import Project
from tests.support.server import StreamServer, binaries
from tests.support.signals import BUSY, PATIENCE, eventually

Start = Callable[..., subprocess.Popen[str]]

SLOW = """
    read: {source: {type: jsonl, path: in.jsonl}}
    slow: {call: "handlers:slow"}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""
LINES = """
    read: {source: {type: jsonl, path: "-"}}
    out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


@pytest.fixture
def valkey() -> Iterator[StreamServer]:
    with GuardedServer(binaries()["valkey"], appendonly=True, config={"appendfsync": "always"}) as server:
        yield server


@pytest.fixture
def project(project: Project) -> Project:
    project.records(range(1_000))
    project.handlers("""
        import os
        import time

        def slow(record):
            time.sleep(0.001)
            return record

        def nap(record):
            if not os.path.exists("napping"):
                open("napping", "w").close()
                time.sleep(1)
            return record

        def stick(record):
            if not os.path.exists("stuck"):
                open("stuck", "w").close()
                time.sleep(600)
            return record

        def hang(record):
            open("hanging", "w").close()
            time.sleep(600)
    """)
    project.spec(SLOW, top="max_backlog: 100")
    return project


@pytest.fixture
def run(project: Project, valkey: StreamServer) -> Iterator[Start]:
    """Start `rsq-pipe run` in the project; what still runs at the end is killed."""
    started = []

    def start_run(*options: str, stdin: int = subprocess.DEVNULL, anew: str = "0") -> subprocess.Popen[str]:
        words = ("--redis", valkey.url, *options)
        started.append(start("run", project.path, *words, cwd=project.root, stdin=stdin, **{ANEW: anew}))
        return started[-1]

    yield start_run
    for process in started:
        process.kill()
        process.communicate()


def finish(project: Project, valkey: StreamServer) -> None:
    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(1_000))


def is_reading(server: StreamServer, project: Project, stream: str = "read") -> bool:
    """Whether the sink has begun to read: so has the source, which was started before it."""
    with redis.Redis.from_url(server.url) as client:
        key = f"{{{project.pipeline}}}:{stream}"
        return bool(client.exists(key)) and bool(client.xinfo_consumers(key, "out"))


def flowing(project: Project) -> None:
    eventually(lambda: len(project.lines_so_far()) > 100, what="records come through")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_drains_and_the_next_run_goes_on(
    project: Project, valkey: StreamServer, run: Start, number: signal.Signals
) -> None:
    process = run()
    flowing(project)

    process.send_signal(number)
    _, stderr = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, stderr
    assert re.search(
        rf"stopped after [\d.]+s; [\d,]+ records? still waits?: rsq-pipe run {project.path} goes on\n", stderr
    )
    assert "Traceback" not in stderr
    finish(project, valkey)


def test_a_stop_in_the_first_second_is_no_fault_and_harms_nothing(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for delay in (0.0, 0.2, 0.4, 0.6):
            process = run(anew="1")
            time.sleep(delay)  # the moment is what is tested
            process.send_signal(number)
            _, stderr = process.communicate(timeout=PATIENCE)
            assert "fault" not in stderr, f"{number.name} after {delay}s: {stderr}"
            assert process.returncode in {0, 130, -number}, f"{number.name} after {delay}s: {stderr}"
    finish(project, valkey)


def test_a_handler_that_hangs_holds_up_the_end_no_longer_than_the_drain_timeout(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    project.spec(SLOW.replace("handlers:slow", "handlers:hang"))
    process = run("--drain-timeout", "1s")
    eventually((project.root / "hanging").exists, what="the handler hangs")

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)

    assert time.monotonic() - began < 1 + BUSY
    assert process.returncode == 1
    assert "still busy 1s after the stop" in stderr
    project.spec(SLOW)
    finish(project, valkey)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["alone", "supervised"])
def test_a_terminal_that_is_closed_drains_although_nothing_can_be_printed_any_more(
    project: Project, valkey: StreamServer, options: tuple[str, ...]
) -> None:
    terminal, own_end = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", COMMAND, "run", project.path, "--redis", valkey.url, *options],
        cwd=project.root,
        stdin=own_end,
        stdout=own_end,
        stderr=own_end,
    )
    os.close(own_end)
    try:
        flowing(project)

        os.close(terminal)

        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    finish(project, valkey)


def test_two_hangups_are_one_closed_terminal(project: Project, valkey: StreamServer, run: Start) -> None:
    project.spec(SLOW.replace("handlers:slow", "handlers:nap"))
    process = run()
    eventually((project.root / "napping").exists, what="a handler naps")

    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, stderr
    assert "stopped after" in stderr


def test_under_nohup_a_run_outlives_its_terminal(project: Project, valkey: StreamServer) -> None:
    process = subprocess.Popen(
        ["nohup", COMMAND, "run", project.path, "--redis", valkey.url],
        cwd=project.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        flowing(project)
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 0, stderr
    assert "done in" in stderr
    assert project.numbers("out/all.jsonl") == list(range(1_000))


def test_a_signal_to_a_child_of_a_handler_is_not_one_to_the_run(
    project: Project, valkey: StreamServer
) -> None:
    project.handlers("""
        import multiprocessing
        import time

        def slow(record):
            if record["n"] % 100 == 0:
                child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[600])
                child.start()
                child.terminate()
                child.join()
            return record
    """)
    project.spec(SLOW)

    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root)

    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(1_000))


def test_a_signal_that_comes_twice_at_once_as_from_timeout_is_one(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    process = run()
    flowing(project)

    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)  # two that wait to be handled are one to the system
    _, stderr = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, stderr
    assert "ended without waiting" not in stderr
    finish(project, valkey)


@pytest.mark.parametrize("options", [(), ("--processes", "2")], ids=["alone", "supervised"])
def test_a_second_signal_ends_it_there_and_then(
    project: Project, valkey: StreamServer, run: Start, options: tuple[str, ...]
) -> None:
    project.spec(SLOW.replace("handlers:slow", "handlers:hang"))
    process = run("--drain-timeout", "10m", *options)
    eventually((project.root / "hanging").exists, what="the handler hangs")

    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=BUSY) == 130
    _, stderr = process.communicate(timeout=PATIENCE)
    assert stderr.count("stopping: what is in flight is finished first") == 1
    assert stderr.count("ended without waiting for what is in flight: nothing is lost") == 1
    project.spec(SLOW)
    finish(project, valkey)


@pytest.mark.parametrize("frozen", [False, True], ids=["gone", "frozen"])
def test_a_stop_while_the_server_is_away_is_done_in_time(
    project: Project, valkey: StreamServer, run: Start, frozen: bool
) -> None:
    process = run("--drain-timeout", "2s")
    flowing(project)
    valkey.pause() if frozen else valkey.kill()

    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=PATIENCE)

    assert time.monotonic() - began < 2 + BUSY
    assert "Traceback" not in stderr
    valkey.resume() if frozen else valkey.start()
    finish(project, valkey)


def test_a_kill_in_mid_run_loses_and_repeats_nothing(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    process = run()
    flowing(project)

    process.kill()
    process.communicate()

    finish(project, valkey)


def test_the_next_run_waits_for_no_lease_of_one_that_was_killed_and_whose_parent_has_not_noticed(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    project.spec(SLOW.replace("handlers:slow", "handlers:stick"))
    process = run(anew="1")  # a child of this process
    eventually((project.root / "stuck").exists, what="the handler has a batch in flight")
    eventually(lambda: is_reading(valkey, project, "slow"), what="the sink stands on its lease")

    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the list of processes

    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert "took over what a process that is gone had in flight" in done.stderr
    assert "standing by" not in done.stderr
    assert project.numbers("out/all.jsonl") == list(range(1_000))


# Standard input


def test_two_runs_one_after_another_read_what_each_is_given(project: Project, valkey: StreamServer) -> None:
    project.spec(LINES)
    words = ("run", project.path, "--redis", valkey.url)

    for given in ('{"n": 1}\n{"n": 2}\n', '{"n": 3}\n', ""):
        done = rsq_pipe(*words, cwd=project.root, given=given)
        assert done.returncode == 0, done.stderr

    assert project.numbers("out/all.jsonl") == [1, 2, 3]


def test_a_run_that_waits_for_a_line_ends_on_ctrl_c(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    project.spec(LINES)
    process = run(stdin=subprocess.PIPE)
    eventually(lambda: is_reading(valkey, project), what="the run is up")

    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=PATIENCE)
    _, stderr = process.communicate()

    assert code == 0, stderr
    assert "Traceback" not in stderr
    assert "Fatal" not in stderr


def test_a_line_from_a_pipe_goes_through_at_once_although_the_pipe_stays_open(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    project.spec(LINES)
    process = run(stdin=subprocess.PIPE)
    assert process.stdin is not None

    for number in (1, 2):
        process.stdin.write(f'{{"n": {number}}}\n')
        process.stdin.flush()
        eventually(
            lambda: project.numbers("out/all.jsonl")[-1:] == [number],  # noqa: B023  called in this turn
            what=f"line {number} is in the file",
        )

    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_a_pipe_that_ends_ends_the_run(project: Project, valkey: StreamServer) -> None:
    project.spec(LINES)
    many = "".join(f'{{"n": {n}}}\n' for n in range(5_000))

    done = rsq_pipe("run", project.path, "--redis", valkey.url, cwd=project.root, given=many)

    assert done.returncode == 0, done.stderr
    assert project.numbers("out/all.jsonl") == list(range(5_000))


def test_standard_input_is_not_for_several_processes(project: Project, valkey: StreamServer) -> None:
    project.spec(LINES)
    words = ("run", project.path, "--redis", valkey.url, "--processes", "2")

    done = rsq_pipe(*words, cwd=project.root, given='{"n": 1}\n')

    assert (done.returncode, done.stdout) == (2, "")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert "stage 'read' reads standard input, which processes cannot share" in said
    assert "leave --processes out" in said
    assert not project.lines("out/all.jsonl")


def test_what_reads_standard_input_may_run_beside_several_processes_of_the_rest(
    project: Project, valkey: StreamServer, run: Start
) -> None:
    project.spec(LINES)
    others = run("--processes", "2", "--stage", "out")

    words = ("run", project.path, "--redis", valkey.url, "--stage", "read")
    done = rsq_pipe(*words, cwd=project.root, given='{"n": 1}\n{"n": 2}\n')
    others.send_signal(signal.SIGTERM)
    _, stderr = others.communicate(timeout=PATIENCE)

    assert (done.returncode, others.returncode) == (0, 0), done.stderr + stderr
    assert project.numbers("out/all.jsonl") == [1, 2]
