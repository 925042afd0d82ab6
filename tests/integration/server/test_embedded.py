"""The embedded server runs exactly as long as somebody uses it, whoever is killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from rsq_pipe.errors import ServerStartError
from rsq_pipe.process_state import is_stopped
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ALLOCATOR, ping
from tests.integration.server.embedded_user import EmbeddedUser
from tests.integration.server.embedding import BINARIES, Join, assert_nothing_is_left, get, held, pid_in, put
from tests.support.signals import eventually


@pytest.fixture(params=BINARIES)
def binary(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
def root() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rsq-"))
    yield folder
    assert_nothing_is_left(Home(folder))
    shutil.rmtree(folder)


@pytest.fixture
def home(root: Path) -> Home:
    return Home(root)


@pytest.fixture
def join(root: Path, binary: Path) -> Iterator[Join]:
    with ExitStack() as users:
        yield lambda: users.enter_context(EmbeddedUser(root, binary))


STOPS = """
import os, signal, sys
from pathlib import Path
from rsq_pipe.server.file_lock import FileLock

lock = FileLock(Path(sys.argv[1]))
assert lock.try_exclusive()
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_process_that_was_stopped_while_it_starts_the_server_is_named(
    root: Path, binary: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rsq_pipe.server.embedded.START_PATIENCE", 0.2)
    home.make()
    with subprocess.Popen([sys.executable, "-c", STOPS, str(home.watchdog_lock)]) as stopped:
        try:
            eventually(lambda: is_stopped(stopped.pid), what="it was stopped")
            with pytest.raises(ServerStartError) as caught:
                acquire(root, binary=binary)
        finally:
            stopped.kill()

    said = f"process {stopped.pid}, which is to start it, was stopped. Continue it (kill -CONT {stopped.pid})"
    assert said in str(caught.value)


@pytest.mark.parametrize(("own", "expected"), [({}, ALLOCATOR), ({"GLIBC_TUNABLES": "x=1"}, "x=1")])
def test_the_servers_allocator_is_tuned_unless_the_user_does_it(
    root: Path, binary: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], expected: str
) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    found, wrapper = root / "tunables", root / "server"
    # A server that shows its name in `ps` overwrites its variables in /proc.
    wrapper.write_text(f'#!/bin/sh\necho "$GLIBC_TUNABLES" >{found}\nexec {binary} "$@"\n')
    wrapper.chmod(0o755)
    with acquire(root, binary=wrapper):
        assert found.read_text().strip() == expected


def test_a_server_starts_answers_and_ends_with_its_user(root: Path, binary: Path, home: Home) -> None:
    started = time.perf_counter()
    with acquire(root, binary=binary) as server:
        print(f"start-up of {binary.name}: {1000 * (time.perf_counter() - started):.0f} ms")
        assert server.url == f"unix://{home.socket}"
        put(server.url, "greeting", "hello")
        assert get(server.url, "greeting") == "hello"

    eventually(lambda: not home.socket.exists(), what="the socket is gone")


def test_data_survives_from_one_run_to_the_next(root: Path, binary: Path, home: Home) -> None:
    with acquire(root, binary=binary) as server:
        put(server.url, "kept", "yes")
    eventually(lambda: not held(home.server_lock), what="the server ended")

    with acquire(root, binary=binary) as server:
        assert get(server.url, "kept") == "yes"


def test_a_second_user_adopts_the_running_server(join: Join, home: Home) -> None:
    first, second = join(), join()
    assert first.url == second.url
    pid = pid_in(home.pid)

    first.leave()

    put(second.url, "still", "here")
    assert pid_in(home.pid) == pid


def test_two_spellings_of_a_directory_are_one_server(root: Path, binary: Path) -> None:
    with acquire(root, binary=binary) as one, acquire(root / ".." / root.name, binary=binary) as other:
        assert one.url == other.url


def test_eight_users_at_the_same_moment_get_one_server(join: Join, home: Home) -> None:
    users = [join() for _ in range(8)]

    assert {user.url for user in users} == {f"unix://{home.socket}"}
    assert home.log.read_text().count("Ready to accept connections") == 1
    assert not home.previous_log.exists()


def test_starts_and_stops_in_quick_succession_always_end_with_a_server(join: Join, home: Home) -> None:
    for _ in range(10):
        user = join()
        assert user.url == f"unix://{home.socket}"
        assert ping(home.socket) == b"+PONG"
        user.leave()


def test_a_user_that_comes_while_the_server_stops_waits_for_a_new_one(
    root: Path, binary: Path, home: Home
) -> None:
    home.make()
    stopping = FileLock(home.users_lock)
    assert stopping.try_exclusive()  # as the watchdog does when it begins to stop the server
    with ThreadPoolExecutor() as pool:
        coming = pool.submit(acquire, root, binary=binary)
        with pytest.raises(TimeoutError):
            coming.result(timeout=0.3)

        stopping.close()

        with coming.result(timeout=10.0) as server:
            assert ping(home.socket) == b"+PONG", server.log.read_text()


def test_signals_to_the_users_terminal_do_not_reach_the_server(join: Join, home: Home) -> None:
    user = join()
    assert user.url

    assert os.getsid(pid_in(home.pid)) != os.getsid(user.process.pid)
    assert os.getsid(pid_in(home.watchdog_lock)) != os.getsid(user.process.pid)
