"""An embedded server whose users, watchdog or own process are killed keeps its data and comes back."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rsq_pipe.errors import ServerStartError
from rsq_pipe.server import replacement, watchdog
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ping
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


def test_a_server_ends_when_its_last_user_is_killed(join: Join, home: Home) -> None:
    first, second = join(), join()
    assert first.url == second.url

    first.kill()
    assert ping(home.socket) == b"+PONG"
    second.kill()

    eventually(lambda: not held(home.server_lock), what="the server ended")


def test_the_last_write_of_a_killed_user_is_kept(join: Join, home: Home) -> None:
    user = join()
    put(user.url, "last", "words")
    user.kill()
    eventually(lambda: not held(home.server_lock), what="the server ended")

    assert get(join().url, "last") == "words"


def test_an_orphan_server_is_adopted_and_gets_a_new_keeper(join: Join, home: Home) -> None:
    first = join()
    assert first.url
    server = pid_in(home.pid)
    os.kill(pid_in(home.watchdog_lock), signal.SIGKILL)
    eventually(lambda: not held(home.watchdog_lock), what="the watchdog is gone")

    second = join()

    assert second.url == first.url
    assert pid_in(home.pid) == server
    first.kill()
    second.kill()
    eventually(lambda: not held(home.server_lock), what="the new watchdog stopped the server")


def test_stale_files_of_a_crashed_machine_are_in_nobodys_way(join: Join, home: Home) -> None:
    home.make()
    home.pid.write_text(f"{os.getpid()}\n")  # by now another process has that pid
    home.socket.touch()
    home.watchdog_lock.write_text("1\n")

    assert join().url == f"unix://{home.socket}"
    assert pid_in(home.pid) != os.getpid()


def test_a_server_killed_in_use_comes_back_with_its_data(join: Join, home: Home) -> None:
    user = join()
    put(user.url, "kept", "yes")
    killed = pid_in(home.pid)

    os.kill(killed, signal.SIGKILL)

    eventually(lambda: pid_in(home.pid) != killed and ping(home.socket) == b"+PONG", what="a new server")
    assert get(user.url, "kept") == "yes"


def test_an_adopted_server_killed_in_use_comes_back(join: Join, home: Home) -> None:
    user = join()
    put(user.url, "kept", "yes")
    os.kill(pid_in(home.watchdog_lock), signal.SIGKILL)
    eventually(lambda: not held(home.watchdog_lock), what="the watchdog is gone")
    assert join().url == user.url
    killed = pid_in(home.pid)

    os.kill(killed, signal.SIGKILL)

    eventually(lambda: pid_in(home.pid) != killed and ping(home.socket) == b"+PONG", what="a new server")
    assert get(user.url, "kept") == "yes"


def test_a_server_killed_together_with_its_watchdog_comes_back_with_its_data(join: Join, home: Home) -> None:
    user, other = join(), join()
    put(user.url, "kept", "yes")
    assert other.url == user.url
    watchdog, server = pid_in(home.watchdog_lock), pid_in(home.pid)

    os.kill(watchdog, signal.SIGKILL)
    os.kill(server, signal.SIGKILL)

    eventually(lambda: pid_in(home.pid) != server and ping(home.socket) == b"+PONG", what="a new server")
    assert pid_in(home.watchdog_lock) != watchdog
    assert get(other.url, "kept") == "yes"
    assert home.log.read_text().count("Ready to accept connections") == 1


def test_a_watchdog_killed_alone_is_replaced_while_its_server_runs_on(join: Join, home: Home) -> None:
    user = join()
    assert user.url
    watchdog, server = pid_in(home.watchdog_lock), pid_in(home.pid)

    os.kill(watchdog, signal.SIGKILL)

    eventually(lambda: pid_in(home.watchdog_lock) != watchdog, what="another watchdog")
    assert pid_in(home.pid) == server


def test_a_server_that_cannot_be_started_again_is_told_of_with_its_reason(
    root: Path, binary: Path, home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    with acquire(root, binary=binary):
        watchdog, server = pid_in(home.watchdog_lock), pid_in(home.pid)
        (manifest,) = (home.data / "appendonlydir").glob("*.manifest")
        manifest.write_text("not a manifest\n")

        os.kill(watchdog, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)

        eventually(lambda: "cannot be started again" in caplog.text, what="a line of the log")
    assert "manifest" in caplog.text.partition("cannot be started again")[2]


def test_a_server_that_cannot_be_started_again_is_given_up_after_some_tries(
    root: Path, binary: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replacement, "PERIOD", 0.05)
    monkeypatch.setattr(replacement, "LONGEST_PAUSE", 0.1)
    lost: list[ServerStartError] = []
    with acquire(root, binary=binary, lost=lost.append):
        watchdog, server = pid_in(home.watchdog_lock), pid_in(home.pid)
        (manifest,) = (home.data / "appendonlydir").glob("*.manifest")
        manifest.write_text("not a manifest\n")

        os.kill(watchdog, signal.SIGKILL)
        os.kill(server, signal.SIGKILL)

        eventually(lambda: lost, what="it is given up")
    (error,) = lost
    assert "cannot be started again, after 5 tries" in str(error)
    assert "manifest" in str(error)
    assert f"Its data is in {home.data}: repair it (redis-check-aof)" in str(error)


def test_a_watchdog_gives_a_server_up_that_does_not_start_time_after_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watchdog, "TICK", 0.001)
    monkeypatch.setattr(watchdog, "LONGEST_RESTART_DELAY", 0.001)
    started: list[int] = []

    def start() -> None:
        started.append(1)
        raise ServerStartError("its data is damaged")

    server, users = SimpleNamespace(start=start), SimpleNamespace(try_exclusive=lambda: False)
    with pytest.raises(ServerStartError, match="its data is damaged"):
        watchdog._revive(cast("Any", server), cast("Any", users))
    assert len(started) == watchdog.RESTARTS


@pytest.mark.chaos
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whoever_is_killed_at_any_moment_the_next_user_finds_its_data(
    join: Join, home: Home, seed: int
) -> None:
    chance = random.Random(seed)
    put(join().url, "kept", "yes")

    for _ in range(12):
        user = join()
        with suppress(subprocess.TimeoutExpired):
            user.process.wait(timeout=chance.uniform(0.0, 0.25))
        match chance.choice(["user", "server", "watchdog"]):
            case "user":
                user.kill()
            case "server":
                kill_if_there(home.pid, home.server_lock)
            case "watchdog":
                kill_if_there(home.watchdog_lock, home.watchdog_lock)

    assert get(join().url, "kept") == "yes"


def kill_if_there(path: Path, lock: Path) -> None:
    """Kill the process named in a file, where the file is written and its process holds the lock."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(path.read_text())
        if held(lock):
            os.kill(pid, signal.SIGKILL)


def test_a_service_manager_that_stops_every_process_leaves_users_a_server(join: Join, home: Home) -> None:
    user = join()
    put(user.url, "kept", "yes")
    watchdog, server = pid_in(home.watchdog_lock), pid_in(home.pid)

    os.kill(watchdog, signal.SIGTERM)
    os.kill(server, signal.SIGTERM)

    eventually(
        lambda: home.pid.exists() and pid_in(home.pid) != server and ping(home.socket) == b"+PONG",
        what="a new server",
    )
    assert get(user.url, "kept") == "yes"
    assert pid_in(home.watchdog_lock) == watchdog
