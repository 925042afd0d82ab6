"""OwnedFile: a file under a name, locked for one writer, and taken over from one that keeps the lock."""

from __future__ import annotations

import fcntl
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

PATIENCE = 1.0
"""Seconds to wait for another's turn to end: sinks whose files are in one folder open at the same time."""

_PAUSE = 0.005  # seconds between two checks whether it has ended
_BLOCK = 1 << 20
_COPY = ".takeover"


class NotOwnedError(Exception):
    """The name now belongs to another file: it was moved, deleted, or taken over by another writer."""


class TurnTakenError(Exception):
    """Another process is between its last check and its change of the file, or of one in the same folder."""


class OwnedFile:
    """
    Hold the only descriptor that may write the file at `path`. All methods raise OSError as the system does.

    The lock (flock) lives as long as the descriptor, so a writer that dies loses it with its process. One
    that is paused keeps it, and may wake up at any moment in the middle of a write: see `take_over`.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_file():
            raise OSError("it is a folder" if path.is_dir() else "it is not a regular file")
        self.path = path
        self.is_new = not path.exists()
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._fd).st_size

    def read(self, size: int, offset: int = 0) -> bytes:
        """Read up to `size` bytes."""
        return os.pread(self._fd, size, offset)

    def lock(self) -> bool:
        """Become the writer, unless another descriptor is."""
        return _locked(self._fd)

    def check_owned(self) -> None:
        """
        Check that the name still leads to this file.

        Raises:
            NotOwnedError: It does not; bytes written here would be lost.
        """
        mine = os.fstat(self._fd)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            raise NotOwnedError from None
        if (mine.st_dev, mine.st_ino) != (there.st_dev, there.st_ino):
            raise NotOwnedError

    def take_over(self, length: int, may: AbstractContextManager[None]) -> None:
        """
        Replace the file with a locked copy of its first `length` bytes, and own that.

        The copy is made before `may` is entered, which raises if this process is not to do it; after that
        only a rename is left, and it fails if a later writer has removed the copy before opening the file.

        The present holder of the lock keeps its descriptor, which now leads to a file without a name: bytes
        it writes when it wakes up end up there, not in the file. Waiting for its lock could last forever;
        writing at the same time would mix both writers' bytes.

        Raises:
            NotOwnedError: Another writer removed the copy, or shortened the file while it was copied.
        """
        fd, name = tempfile.mkstemp(prefix=f".{self.path.name}.", suffix=_COPY, dir=self.path.parent)
        try:
            _locked(fd)
            os.fchmod(fd, stat.S_IMODE(os.fstat(self._fd).st_mode))
            self._copy(fd, length)
            with may, _removed_by_another():
                Path(name).replace(self.path)
        except BaseException:
            os.close(fd)
            Path(name).unlink(missing_ok=True)
            raise
        os.close(self._fd)
        self._fd = fd
        self.sync_name()

    def _copy(self, fd: int, length: int) -> None:
        for offset in range(0, length, _BLOCK):
            _write_all(fd, self.read(min(_BLOCK, length - offset), offset), offset)
        os.fsync(fd)
        if os.fstat(fd).st_size != length:
            raise NotOwnedError

    def write(self, data: bytes, offset: int) -> None:
        """Write all of `data`, or raise."""
        _write_all(self._fd, data, offset)

    def truncate(self, length: int) -> None:
        """Cut off everything after `length`."""
        os.ftruncate(self._fd, length)

    def sync(self) -> None:
        """Wait until the file is on disk."""
        os.fsync(self._fd)

    def sync_name(self) -> None:
        """Wait until the file's name is on disk too."""
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Release the file and its lock."""
        os.close(self._fd)


def remove_copies(path: Path) -> None:
    """
    Remove the copies that were made to take a file over: of writers that were killed in it, or are paused.

    A writer that was paused before the rename cannot undo then what is written to the file from now on.
    """
    for copy in path.parent.glob(f".{glob.escape(path.name)}.*{_COPY}"):
        copy.unlink(missing_ok=True)


@contextmanager
def _removed_by_another() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise NotOwnedError from exc


@contextmanager
def folder_turn(path: Path) -> Iterator[None]:
    """
    Keep every other process, for milliseconds, from changing which files the names in a folder lead to.

    The lock is on the folder: one on the file would go with it when another takes its place, and a file
    just for the lock would stay next to every sink's file forever.

    Raises:
        TurnTakenError: Another process has its turn.
    """
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        end = time.monotonic() + PATIENCE
        while not _locked(folder):
            if time.monotonic() > end:
                raise TurnTakenError
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(folder)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on disk."""
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written
