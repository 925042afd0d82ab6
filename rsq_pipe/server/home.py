"""Home: the files of the embedded server of one directory."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from rsq_pipe.errors import ServerStartError

# A unix socket's path, with its closing zero, has 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100

PRIVATE = 0o700
"""The mode of folders: all rights for their owner, none for others."""


class Home:
    """
    Name the files of one directory's server, all under `<root>/.rsq`.

    Args:
        root: The directory; different spellings of its path give the same home.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.folder = self.root / ".rsq"
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self.previous_log = self.folder / "server.log.old"
        # The names used in 0.1: servers of that release and of this one find each other by them.
        self.watchdog_log = self.folder / "keeper.log"
        self.pid = self.folder / "server.pid"
        # Who uses the server, which process watches it, and whether it runs: three locks, see watchdog.py.
        self.users_lock = self.folder / "users.lock"
        self.watchdog_lock = self.folder / "keeper.lock"
        self.server_lock = self.folder / "server.lock"
        self.socket = self._socket()

    def make(self) -> None:
        """
        Create the folders, with access for their owner only.

        Raises:
            ServerStartError: They cannot be created or written, or hold something that another user has put
                there.
        """
        try:
            with suppress(FileNotFoundError):  # first: in another user's folder nothing can be made
                _check_owner(self.folder, self.folder)
            self.data.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            for folder in (self.folder, self.data):
                _check_owner(folder, self.folder)
                if stat.S_IMODE(folder.stat().st_mode) != PRIVATE:
                    folder.chmod(PRIVATE)
            # Only from here on can no other user add anything.
            _check_ours(self.folder)
            # Only once: a command that only reads must not need room on a full disk.
            if not (self.folder / ".gitignore").exists():
                with open_own(self.folder / ".gitignore") as file:
                    file.write(b"*\n")
            if self.socket.parent != self.folder:
                self.socket.parent.mkdir(mode=PRIVATE, exist_ok=True)
        except OSError as exc:
            raise unwritable(self, exc) from exc
        if self.socket.parent != self.folder:
            _check_private(self.socket.parent)

    def was_used(self) -> bool:
        """Return whether a server has run here, or something is here that only another user may look into."""
        try:
            self.data.stat()
        except PermissionError:
            return True  # so that the server is asked for, and the refusal says whose folder it is
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _socket(self) -> Path:
        path = self.folder / "server.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        from hashlib import sha256  # noqa: PLC0415  slow to import, and rarely needed

        # Not $TMPDIR or $XDG_RUNTIME_DIR: shells in which these differ must find the same server.
        name = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(f"/tmp/rsq-pipe-{os.getuid()}", f"{name}.sock")  # noqa: S108


def unwritable(home: Home, exc: OSError) -> ServerStartError:
    """Make the error for a folder that cannot be written."""
    why = f"{exc.filename} is a link" if exc.errno == errno.ELOOP else exc.strerror or exc
    is_full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
    what = "Free some space there" if is_full else "Make that directory writable"
    return ServerStartError(
        f"the embedded server cannot keep its data in {home.folder}: {why}. "
        f"{what}, or name a running server with --redis URL."
    )


def open_own(path: Path) -> IO[bytes]:
    """Empty and open one of the server's files, readable by its owner; a link in its place is an OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb")


def _check_ours(top: Path) -> None:
    """Refuse files of other users: through a link we would empty or read its target."""
    for folder, folders, files in os.walk(top):
        for path in (top, *(Path(folder, name) for name in (*folders, *files))):
            with suppress(FileNotFoundError):  # the server is running, and rewrites its data
                _check_owner(path, top)


def _check_owner(path: Path, top: Path) -> None:
    owner = path.lstat().st_uid
    if owner != os.geteuid():
        raise ServerStartError(
            f"{path} belongs to user {owner}, and this is user {os.geteuid()}, so the embedded server does "
            f"not use it. Run as its owner, or name a running server with --redis URL. Deleting "
            f"{top} would delete all that pipelines hold there."
        )


def _check_private(folder: Path) -> None:
    """Refuse a folder under /tmp in which another user could put a socket."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ServerStartError(
            f"{folder} is not a directory that only you can use, so the embedded server's socket would not "
            "be safe there. Delete it, work under a shorter path, or name a running server with --redis URL."
        )
