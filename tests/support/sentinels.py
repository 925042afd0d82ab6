"""Sentinels: a primary, two replicas and three sentinels that watch them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from rsq_pipe.server.binary import on_path
from tests.support.ports import free_port
from tests.support.server import StreamServer
from tests.support.signals import eventually

SERVICE = "orders"
REPLICAS = 2
SENTINELS = 3

CONFIG = """
port {port}
bind 127.0.0.1
dir {folder}
logfile {folder}/sentinel-{port}.log
sentinel monitor {service} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {service} 500
sentinel failover-timeout {service} 5000
"""


class Sentinel:
    """
    Run one sentinel: Debian's redis-sentinel for Redis, otherwise the server's own program.

    Args:
        binary: One of `binaries()`.
        folder: For its configuration, which it rewrites as it learns.
        primary: The port it is told to watch at first.
        password: What the server requires.
        own_password: What the sentinel requires.
    """

    def __init__(
        self, binary: Path, folder: Path, primary: int, *, password: str = "", own_password: str = ""
    ) -> None:
        self.port = free_port()
        self._own_password = own_password
        text = CONFIG.format(port=self.port, folder=folder, service=SERVICE, primary=primary)
        if password:
            text += f"sentinel auth-pass {SERVICE} {password}\n"
        if own_password:
            text += f"requirepass {own_password}\nsentinel sentinel-pass {own_password}\n"
        self._file = folder / f"sentinel-{self.port}.conf"
        self._file.write_text(text)
        debian = on_path("redis-sentinel") if binary.name == "redis-server" else None
        program = [debian, self._file] if debian else [binary, self._file, "--sentinel"]
        self._command = [str(word) for word in program]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, *command: str) -> Any:
        """Send it a command."""
        password = self._own_password or None
        with closing(redis.Redis(port=self.port, password=password, decode_responses=True)) as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False

    def knows_all(self) -> bool:
        """Whether it has heard of every replica and of every other sentinel."""
        if not self.answers():
            return False
        found = self.ask("SENTINEL", "MASTER", SERVICE)
        return (int(found["num-slaves"]), int(found["num-other-sentinels"])) == (REPLICAS, SENTINELS - 1)

    def kill(self) -> None:
        """End it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Watch:
    """
    Run a primary, two replicas and three sentinels.

    Args:
        binary: One of `binaries()`, for the servers.
        password: What the servers require.
        sentinel_password: What the sentinels require.
    """

    def __init__(self, binary: Path, *, password: str, sentinel_password: str) -> None:
        # A replica that asks gets its copy at once; by default the primary waits for others to ask.
        config = {"repl-diskless-sync-delay": "0", "requirepass": password, "masterauth": password}
        self.servers = [StreamServer(binary, tcp=True, config=config) for _ in range(1 + REPLICAS)]
        self._password = password
        self._sentinel_password = sentinel_password
        self._folder = Path(tempfile.mkdtemp(prefix="rsq-"))
        primary = self.servers[0].port
        self.sentinels = [
            Sentinel(binary, self._folder, primary, password=password, own_password=sentinel_password)
            for _ in range(SENTINELS)
        ]
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        query = f"sentinel_password={self._sentinel_password}"
        return f"redis+sentinel://:{self._password}@{hosts}/{SERVICE}?{query}"

    @property
    def primary(self) -> StreamServer:
        """The server that the last of the sentinels takes for the primary."""
        _, port = self.sentinels[-1].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.port == int(port))

    def tell_all(self, lines: Sequence[str]) -> None:
        """Send commands to every server, such as users: they are not copied from the primary."""
        for server in self.servers:
            with closing(redis.Redis(port=server.port, password=self._password)) as client:
                for line in lines:
                    client.execute_command(*line.split())  # type: ignore[no-untyped-call]

    def until(self, predicate: Callable[[], object], what: str) -> None:
        """Wait for something that takes the sentinels seconds."""
        eventually(predicate, what=what)

    def __enter__(self) -> Self:
        first, *others = self.servers
        self._stack.enter_context(first)
        for server in others:
            server.config["replicaof"] = f"127.0.0.1 {first.port}"
            self._stack.enter_context(server)
        for sentinel in self.sentinels:
            self._stack.enter_context(sentinel)
        self.until(lambda: all(sentinel.knows_all() for sentinel in self.sentinels), "the sentinels know all")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        shutil.rmtree(self._folder, ignore_errors=True)
