"""The folder of an embedded server: what stands there, who may read it, and what is refused."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from rsq_pipe.engine.runner import Runner
from rsq_pipe.errors import ServerStartError, ServerUnavailableError
from rsq_pipe.ops.bounds import Bounds
from rsq_pipe.ops.status import PipelineStatus, read_status
from rsq_pipe.server.embedded import acquire
from rsq_pipe.server.home import Home
from rsq_pipe.server.process import ping
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.integration.server.embedding import BINARIES, assert_nothing_is_left, get, held, pid_in, put
from tests.support.project import Project
from tests.support.signals import eventually

SOMEBODY = 54_321
"""A user who is neither root nor the one who runs the tests."""


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


@pytest.fixture
def of_another_user(root: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that another user has made; nobody but its owner may look into it."""
    home.make()
    if os.geteuid() == 0:
        root.chmod(0o755)
        os.seteuid(SOMEBODY)
    else:
        home.folder.chmod(0)
        monkeypatch.setattr(os, "geteuid", lambda: SOMEBODY)
    try:
        yield home
    finally:
        os.seteuid(os.getuid())
        home.folder.chmod(0o700)


def test_the_folder_of_another_user_counts_as_one_where_a_server_has_run(of_another_user: Home) -> None:
    assert of_another_user.was_used()


def test_the_folder_of_another_user_is_refused_with_its_owner(
    root: Path, binary: Path, of_another_user: Home
) -> None:
    told = (
        rf"\.rsq belongs to user {os.getuid()}, and this is user {SOMEBODY}.*Run as its owner, .*--redis URL"
    )
    with pytest.raises(ServerStartError, match=told):
        acquire(root, binary=binary)


def test_a_folder_without_data_is_not_one_where_a_server_has_run(home: Home) -> None:
    assert not home.was_used()


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
        return await read_status(client, graph)


async def run(url: str, graph: Graph) -> None:
    async with StreamClient.from_url(url) as client:
        await Runner(graph, client).run()


def test_a_program_that_is_no_server_is_an_error(root: Path, binary: Path) -> None:
    with pytest.raises(ServerStartError, match="ended with exit code"):
        acquire(root, binary=Path(shutil.which("false") or "/bin/false"))
