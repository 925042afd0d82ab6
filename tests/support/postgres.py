"""PostgresServer: a private PostgreSQL for tests, which may be killed and paused; Debian's binaries."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.support.absent import absent
from tests.support.ports import free_port
from tests.support.private_server import PASSWORD, PrivateServer, other_user
from tests.support.signals import eventually

_START = 30.0


def binaries() -> Path | None:
    """Find the newest PostgreSQL on this machine; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@pytest.fixture(scope="session")
def postgres_binaries() -> Path:
    """The binaries; if they are missing, a test that needs them is skipped, except in CI."""
    found = binaries()
    if found is None:
        absent("PostgreSQL here", "on Debian and Ubuntu: apt install postgresql")
    return found


@pytest.fixture(scope="session")
def postgres(postgres_binaries: Path) -> Iterator[PostgresServer]:
    """One server for the whole run; tests keep apart by the names of their tables."""
    with PostgresServer(postgres_binaries) as running:
        yield running


@pytest.fixture
def own_postgres(postgres_binaries: Path) -> Iterator[PostgresServer]:
    """A server for one test that kills or pauses it."""
    with PostgresServer(postgres_binaries) as running:
        yield running


class PostgresServer(PrivateServer):
    """
    Run one server on a port of 127.0.0.1, with a password; it keeps its data across restarts.

    It refuses to run as root, so root runs it as the user `postgres`, or `nobody`.

    Args:
        binaries: The folder of initdb and postgres.
        settings: Settings of the server, `name=value`.
    """

    what = "PostgreSQL"

    def __init__(self, binaries: Path, *settings: str) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="rsq-pg-", dir="/tmp")))
        self._binaries = binaries
        self._settings = ("listen_addresses=127.0.0.1", "fsync=off", *(settings or ("wal_level=logical",)))
        self.user = other_user("postgres", "nobody")
        self.folder.chmod(0o755)
        self.port = free_port()

    @property
    def dsn(self) -> str:
        """Its address, with the password."""
        return f"postgresql://rsq:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Make the database if there is none, start the server, and wait until it answers."""
        data = self.folder / "data"
        if not data.exists():
            self._make(data)
        self._begin(
            [
                *(self._binaries / "postgres", "-D", data, "-p", str(self.port), "-k", self.folder),
                *(word for setting in self._settings for word in ("-c", setting)),
            ],
            self.user,
        )
        eventually(self._answers, timeout=_START, what=f"PostgreSQL answers on port {self.port}")
        return self

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement and return its rows."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """End the server and its connections abruptly."""
        super().kill()
        (self.folder / "data/postmaster.pid").unlink(missing_ok=True)

    def _make(self, data: Path) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if self.user is not None:
            shutil.chown(self.folder, self.user)
            shutil.chown(secret, self.user)
        done = subprocess.run(
            [
                *(self._binaries / "initdb", "-D", data, "-U", "rsq", "-A", "scram-sha-256"),
                *("--pwfile", secret, "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
            ],
            capture_output=True,
            text=True,
            user=self.user,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        self._check()
        try:
            return self.execute("select 1") == [(1,)]
        except psycopg.OperationalError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to its workers, each of which has its own process group."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        for pid in (self._process.pid, *pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
