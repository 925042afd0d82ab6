"""Which processes are known to be gone."""

from __future__ import annotations

import os
import subprocess
import sys

from rsq_pipe.streams.worker import is_gone, worker_name


def named(pid: int) -> str:
    """Make the name that a process of this machine has."""
    return worker_name("lease").replace(f"_{os.getpid()}-", f"_{pid}-")


def test_a_process_that_runs_is_not_gone() -> None:
    assert not is_gone(worker_name("lease"))


def test_a_process_that_was_waited_for_is_gone() -> None:
    process = subprocess.Popen(["true"])
    process.wait()

    assert is_gone(named(process.pid))


def test_a_dead_process_that_nobody_waited_for_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

        assert is_gone(named(process.pid)) is (sys.platform == "linux")


def test_a_process_whose_other_threads_outlive_its_first_one_is_not_gone() -> None:
    code = (
        "import ctypes, os, sys, threading\n"
        "def first():\n    return open(f'/proc/self/task/{os.getpid()}/stat').read().rpartition(') ')[2][0]\n"
        "def stay():\n"
        "    while sys.platform == 'linux' and first() != 'Z': pass\n"
        "    print('x', flush=True); sys.stdin.read()\n"
        "threading.Thread(target=stay).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.read(1)

        assert not is_gone(named(process.pid))

        process.kill()


def test_a_process_of_another_machine_is_never_known_to_be_gone() -> None:
    assert not is_gone("lease_other.1f_1-0123456789ab")
