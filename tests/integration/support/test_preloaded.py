"""What is forked is like what is started: its words, streams, variables, folder, signals and exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import preloaded
from tests.support.preloaded import ANEW, COMMAND, PreloadedProcess

PYTHON = [sys.executable, "-m", "code", "-q"]
"""Runs the lines of its standard input, one after another."""


@pytest.mark.parametrize(
    "words", ["--version", "validate none.yaml", "validate --help", "unknown", "run none.yaml"]
)
def test_a_command_says_the_same_and_exits_alike(tmp_path: Path, words: str) -> None:
    command = [str(COMMAND), *words.split()]
    started = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    done = preloaded.run(command, cwd=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (started.returncode, started.stdout, started.stderr)


def test_a_preloaded_process_has_the_folder_variables_and_input_that_it_was_given(tmp_path: Path) -> None:
    given = "import os, sys\nprint(os.getcwd(), os.environ, sys.argv, sep='; ')\nsys.exit(7)\n"

    done = preloaded.run(PYTHON, cwd=tmp_path, env={"ONLY": "this", **_python()}, given=given)

    assert f"{tmp_path}; environ({{'ONLY': 'this'" in done.stdout
    assert done.returncode == 7


def test_a_preloaded_process_has_an_id_and_is_ended_by_signals() -> None:
    with PreloadedProcess(
        PYTHON, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write("import os; print(os.getpid(), flush=True)\n")
        one.stdin.flush()
        assert int(one.stdout.readline().removeprefix(">>> ")) == one.pid
        assert one.poll() is None
        one.send_signal(signal.SIGKILL)
        assert one.wait(20) == -signal.SIGKILL


@pytest.mark.parametrize(("further", "is_child"), [({}, False), ({ANEW: "1"}, True), ({"LANG": "xx"}, True)])
def test_a_preloaded_process_is_started_anew_where_that_is_asked_for_or_may_matter(
    further: dict[str, str], is_child: bool
) -> None:
    done = preloaded.run(PYTHON, env={**os.environ, **further}, given="import os; print(os.getppid())\n")

    assert (str(os.getpid()) in done.stdout) is (is_child or sys.platform != "linux")


def _python() -> dict[str, str]:
    """What is read while modules are imported, as it is here."""
    return {name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "L", "NO_COLOR"))}
