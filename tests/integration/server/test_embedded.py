"""The embedded server runs exactly as long as somebody uses it, whoever is killed."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis import Redis

from rsq_pipe.engine.runner import Runner
from rsq_pipe.errors import ServerStartError, ServerUnavailableError
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.status import PipelineStatus, look
from rsq_pipe.server import replacement, watchdog
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ALLOCATOR, ping
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.integration.server.embedded_user import EmbeddedUser
from tests.support.project import Project
from tests.support.server import binaries
from tests.support.signals import eventually

BINARIES = binaries()
Join = Callable[[], EmbeddedUser]


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


def assert_nothing_is_left(home: Home) -> None:
    if home.folder.is_dir():
        eventually(lambda: not held(home.watchdog_lock), what="the watchdog ended")
    assert not held(home.server_lock)
    assert not home.socket.exists()
    assert not home.pid.exists()


def held(path: Path) -> bool:
    """Whether a process holds the lock: the watchdog and the server hold theirs as long as they live."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        return lock.held()
    finally:
        lock.close()


def pid_in(path: Path) -> int:
    """The process named in a file, waiting for the file to be written."""
    return int(eventually(lambda: path.exists() and path.read_text().strip(), what=f"a pid in {path}"))


def put(url: str, key: str, value: str) -> None:
    with Redis.from_url(url) as client:
        client.set(key, value)


def get(url: str, key: str) -> str:
    with Redis.from_url(url, decode_responses=True) as client:
        return str(client.get(key))


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


def test_it_starts_answers_and_ends_with_its_user(root: Path, binary: Path, home: Home) -> None:
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


def test_it_ends_when_its_last_user_is_killed(join: Join, home: Home) -> None:
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


def test_signals_to_the_users_terminal_do_not_reach_the_server(join: Join, home: Home) -> None:
    user = join()
    assert user.url

    assert os.getsid(pid_in(home.pid)) != os.getsid(user.process.pid)
    assert os.getsid(pid_in(home.watchdog_lock)) != os.getsid(user.process.pid)


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


def test_a_directory_with_a_long_path_has_a_short_socket(root: Path, binary: Path) -> None:
    deep = root / ("d" * 120)
    deep.mkdir()
    with acquire(deep, binary=binary) as server, acquire(deep, binary=binary) as again:
        assert len(server.url) < 100
        assert server.url == again.url
        put(server.url, "kept", "yes")

    eventually(lambda: not held(Home(deep).server_lock), what="the server ended")
    assert_nothing_is_left(Home(deep))


def test_deleting_the_folder_of_a_running_server_does_not_harm_the_next(root: Path, binary: Path) -> None:
    first = acquire(root, binary=binary)
    old = Home(root)
    lost_watchdog, lost_server = pid_in(old.watchdog_lock), pid_in(old.pid)
    shutil.rmtree(old.folder)

    with acquire(root, binary=binary) as second:
        first.release()
        eventually(
            lambda: not exists(lost_watchdog) and not exists(lost_server), what="the first server ended"
        )

        put(second.url, "safe", "yes")
        assert get(second.url, "safe") == "yes"


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_directory_that_cannot_be_written_is_an_error_that_names_it(root: Path, binary: Path) -> None:
    (root / ".rsq").write_text("a file, where a folder must be")

    with pytest.raises(ServerStartError, match=rf"{root}/\.rsq.*--redis URL"):
        acquire(root, binary=binary)
    (root / ".rsq").unlink()


def test_nobody_else_can_read_the_data(root: Path, binary: Path, home: Home) -> None:
    home.folder.mkdir()
    home.folder.chmod(0o777)

    with acquire(root, binary=binary) as server:
        put(server.url, "kept", "yes")
        modes = {path: oct(path.stat().st_mode & 0o777) for path in (home.folder, *home.folder.rglob("*"))}

    assert {path.name for path in modes} >= {"keeper.log", "server.log", "server.pid", "users.lock", "data"}
    folders = {mode for path, mode in modes.items() if path.is_dir()}
    files = {mode for path, mode in modes.items() if path.is_file()}
    assert (folders, files) == ({"0o700"}, {"0o600"})


@pytest.mark.parametrize("name", ["keeper.log", "users.lock", "keeper.lock", ".gitignore", "server.log"])
def test_a_link_in_the_place_of_a_file_leaves_its_target_as_it_is(
    root: Path, binary: Path, home: Home, name: str
) -> None:
    home.make()
    target = root / "precious"
    target.write_text("precious")
    (home.folder / name).unlink(missing_ok=True)
    (home.folder / name).symlink_to(target)

    with suppress(ServerStartError), acquire(root, binary=binary):
        pass  # a log that the server opens itself is moved out of the way, and it starts

    assert target.read_text() == "precious"
    (home.folder / name).unlink(missing_ok=True)


def test_what_somebody_else_put_there_is_refused(
    root: Path, binary: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.make()
    with monkeypatch.context() as somebody:
        somebody.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(ServerStartError, match=r"\.rsq belongs to user .*--redis URL"):
            acquire(root, binary=binary)


def test_a_server_that_cannot_start_shows_the_end_of_its_log(root: Path, binary: Path, home: Home) -> None:
    home.make()
    broken = home.data / "appendonlydir"
    broken.mkdir()
    (broken / "appendonly.aof.manifest").write_text("not a manifest\n")

    with pytest.raises(ServerStartError, match=r"(?is)ended with exit code 1.*manifest.*--redis URL"):
        acquire(root, binary=binary)


@pytest.fixture
def on_a_full_disk(binary: Path, tmp_path: Path) -> Path:
    """The server program where no file can grow beyond some kilobytes."""
    path = tmp_path / "server-on-a-full-disk"
    path.write_text(f"#!/bin/sh\ntrap '' XFSZ\nulimit -f 64\nexec {binary} \"$@\"\n")
    path.chmod(0o755)
    return path


def test_a_server_on_a_full_disk_is_not_waited_for_and_says_what_it_is(
    root: Path, on_a_full_disk: Path, home: Home
) -> None:
    graph = load(Project(root / "p", "orders").spec("out: {from: {stream: in}, sink: {type: stdout}}"))
    with acquire(root, binary=on_a_full_disk) as server:
        put(server.url, "large", "x" * 200_000)
        eventually(lambda: ping(home.socket).startswith(b"-MISCONF"), what="the server refuses to write")

        with acquire(root, binary=on_a_full_disk) as again:
            status = asyncio.run(see(again.url, graph))
            with pytest.raises(ServerUnavailableError, match="cannot serve now: MISCONF"):
                asyncio.run(run(again.url, graph))

    (breach,) = Bounds().breaches(status)
    assert breach.bound == "refusal"
    assert "the server refuses to write: MISCONF Errors writing to the AOF file" in breach.text


async def see(url: str, graph: Graph) -> PipelineStatus:
    async with StreamClient.from_url(url) as client:
        return await look(client, graph)


async def run(url: str, graph: Graph) -> None:
    async with StreamClient.from_url(url) as client:
        await Runner(graph, client).run()


def test_a_program_that_is_no_server_is_an_error(root: Path, binary: Path) -> None:
    with pytest.raises(ServerStartError, match="ended with exit code"):
        acquire(root, binary=Path(shutil.which("false") or "/bin/false"))
