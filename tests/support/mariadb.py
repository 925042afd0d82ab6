"""MariadbServer: a private MariaDB for tests, which may be killed and paused; Debian's binaries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pymysql
import pytest

from tests.support.absent import absent
from tests.support.ports import free_port
from tests.support.private_server import PASSWORD, PrivateServer, other_user
from tests.support.signals import eventually
from tests.support.tls import CERTIFICATES

_START = 60.0


def binary() -> Path | None:
    """Find the server on this machine; None if there is none."""
    found = shutil.which("mariadbd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found and shutil.which("mariadb-install-db") else None


@pytest.fixture(scope="session")
def mariadb_binary() -> Path:
    """The server's binary; if it is missing, a test that needs it is skipped, except in CI."""
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


class MariadbServer(PrivateServer):
    """
    Run one server on a port of 127.0.0.1, with a password; it keeps its data across restarts.

    Args:
        binary: mariadbd.
    """

    what = "MariaDB"

    def __init__(self, binary: Path) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="rsq-my-", dir="/tmp")))
        self._binary = binary
        self._user = other_user("mysql", "nobody", "root")
        self.port = free_port()

    @property
    def dsn(self) -> str:
        """Its address, with the password."""
        return f"mysql://rsq:{PASSWORD}@127.0.0.1:{self.port}/shop"

    def start(self) -> Self:
        """Make the database if there is none, start the server, and wait until it answers."""
        data = self.folder / "data"
        is_new = not data.exists()
        if is_new:
            self._make(data)
        self._begin(
            [
                *(self._binary, "--no-defaults", f"--datadir={data}", f"--port={self.port}"),
                *("--bind-address=127.0.0.1", f"--socket={self._socket}", "--skip-log-bin"),
                *("--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=32M", *self._as()),
                *(f"--ssl-cert={self._certificate}", f"--ssl-key={self._certificate}"),
            ]
        )
        if is_new:
            eventually(self._has_user, timeout=_START, what="MariaDB has the user of the tests")
        eventually(self._answers, timeout=_START, what=f"MariaDB answers on port {self.port}")
        return self

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run statements, separated by a semicolon and a newline; return the rows of the last."""
        with closing(self._connected(user="rsq", password=PASSWORD, database="shop")) as connection:
            cursor = connection.cursor()
            for one in sql.split(";\n"):
                cursor.execute(one, values or None)
            return list(cursor.fetchall())

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _connected(self, **given: Any) -> pymysql.Connection[Any]:
        return pymysql.connect(host="127.0.0.1", port=self.port, autocommit=True, **given)

    def _as(self) -> list[str]:
        return [f"--user={self._user}"] if self._user else []

    @property
    def _certificate(self) -> Path:
        return self.folder / "localhost.pem"

    def _make(self, data: Path) -> None:
        shutil.copy(CERTIFICATES / "localhost.pem", self._certificate)
        self._certificate.chmod(0o600)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
            shutil.chown(self._certificate, self._user)
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
        self._check()
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
        self._check()
        try:
            return self.execute("select 1") == [(1,)]
        except pymysql.OperationalError:
            return False
