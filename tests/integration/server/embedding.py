"""Users of an embedded server, and what is left of it, for its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from redis import Redis

from rsq_pipe.server.file_lock import FileLock
from rsq_pipe.server.home import Home
from tests.integration.server.embedded_user import EmbeddedUser
from tests.support.server import binaries
from tests.support.signals import eventually

BINARIES = binaries()
Join = Callable[[], EmbeddedUser]


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
