"""MariadbServer: a private MariaDB for tests, that may be killed and paused; Debian's binaries."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
import pytest

from tests.support.absent import absent
from tests.support.server import free_port
from tests.support.signals import eventually

PASSWORD = "of-the-tests"
_START = 60.0


def binary() -> Path | None:
    """Find the server of this machine; None where there is none."""
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found and shutil.which("mariadb-install-db") else None


@pytest.fixture(scope="session")
def mariadb_binary() -> Path:
    """The server's binary; a test that needs it is skipped where there is none, but in CI."""
    found = binary()
    if found is None:
        absent("MariaDB here", "on Debian and Ubuntu: apt install mariadb-server")
    return found


@pytest.fixture(scope="session")
def mariadb(mariadb_binary: Path) -> Iterator[MariadbServer]:
    """One server for the whole run; tests keep apart by the names of their tables."""
    with MariadbServer(mariadb_binary) as running:
        yield running


@pytest.fixture
def own_mariadb(mariadb_binary: Path) -> Iterator[MariadbServer]:
    """A server for one test that kills or pauses it."""
    with MariadbServer(mariadb_binary) as running:
        yield running


class MariadbServer:
    """
    Run one server on a port of 127.0.0.1, with a password; it keeps its data over restarts.

    Args:
        binary: mariadbd.
    """

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="rsq-my-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        """Where it is, with the password."""
        return f"mysql://rsq:{PASSWORD}@127.0.0.1:{self.port}/shop"

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self) -> Self:
        """Make the database where there is none, start the server, and wait until it answers."""
        data = self.folder / "data"
        is_new = not data.exists()
        if is_new:
            self._make(data)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binary, "--no-defaults", f"--datadir={data}", f"--port={self.port}"),
                    *("--bind-address=127.0.0.1", f"--socket={self._socket}", "--skip-log-bin"),
                    *("--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", *self._as()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )
        if is_new:
            eventually(self._has_user, timeout=_START, what="MariaDB has the user of the tests")
        eventually(self._answers, timeout=_START, what=f"MariaDB answers on port {self.port}")
        return self

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run statements, with a semicolon and a new line between them; return the rows of the last."""
        with closing(self._connected(user="rsq", password=PASSWORD, database="shop")) as connection:
            cursor = connection.cursor()
            for one in sql.split(";\n"):
                cursor.execute(one, values or None)
            return list(cursor.fetchall())

    def kill(self) -> None:
        """End the server, its connections too, without a word to anybody."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering, with every connection left open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after pause()."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _connected(self, **given: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(host="127.0.0.1", port=self.port, autocommit=True, **given)

    def _as(self) -> list[str]:
        return [f"--user={self._user}"] if self._user else []

    def _make(self, data: Path) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        done = subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", *self._as()),
            ],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _has_user(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise AssertionError(f"MariaDB ended with exit code {code}:\n{self.log[-2000:]}")
        try:
            with closing(pymysql.connect(unix_socket=str(self._socket), user="root")) as connection:
                cursor = connection.cursor()
                cursor.execute("create database if not exists shop")
                cursor.execute(f"create user if not exists rsq@'127.0.0.1' identified by '{PASSWORD}'")
                cursor.execute("grant all on *.* to rsq@'127.0.0.1' with grant option")
        except pymysql.OperationalError:
            return False
        return True

    def _answers(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise AssertionError(f"MariaDB ended with exit code {code}:\n{self.log[-2000:]}")
        try:
            return self.execute("select 1") == [(1,)]
        except pymysql.OperationalError:
            return False

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, number)


def _user() -> str | None:
    """Name the user that root runs it as; None for the one at hand."""
    if os.geteuid() != 0:
        return None
    for name in ("mysql", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    return "root"
