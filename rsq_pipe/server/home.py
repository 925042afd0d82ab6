"""Home: where the embedded server of one directory keeps its files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rsq_pipe.errors import ServerStartError

# A unix socket's path, with its closing zero, has 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


class Home:
    """
    Name the files of one directory's server, all under `<root>/.rsq`.

    Args:
        root: The directory; two spellings of it are one home.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.folder = self.root / ".rsq"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.previous_log = self.folder / "server.log.old"
        self.keeper_log = self.folder / "keeper.log"
        self.pid = self.folder / "server.pid"
        # Who uses the server, who looks after it, and whether it runs: three locks, see keeper.py.
        self.users_lock = self.folder / "users.lock"
        self.keeper_lock = self.folder / "keeper.lock"
        self.server_lock = self.folder / "server.lock"
        self.socket = self._socket()

    def make(self) -> None:
        """
        Create the folders.

        Raises:
            ServerStartError: They cannot be created or written.
        """
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            (self.folder / ".gitignore").write_text("*\n")
            if self.socket.parent != self.folder:
                self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise unwritable(self, exc) from exc
        if self.socket.parent != self.folder:
            _check_private(self.socket.parent)

    def _socket(self) -> Path:
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        from hashlib import sha256  # noqa: PLC0415  slow to import, and rarely needed

        # Not $TMPDIR, not $XDG_RUNTIME_DIR: two shells that differ in these must find one server.
        name = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(f"/tmp/rsq-pipe-{os.getuid()}", f"{name}.sock")  # noqa: S108


def unwritable(home: Home, exc: OSError) -> ServerStartError:
    """Word the error for a folder that cannot be written."""
    return ServerStartError(
        f"the embedded server cannot keep its data in {home.folder}: {exc.strerror or exc}. "
        "Make that directory writable, or name a running server with --redis URL."
    )


def _check_private(folder: Path) -> None:
    """Refuse a folder under /tmp in which somebody else could put a socket of their own."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServerStartError(
            f"{folder} is not a directory that only you can use, so the embedded server's socket would not "
            "be safe there. Delete it, work under a shorter path, or name a running server with --redis URL."
        )
