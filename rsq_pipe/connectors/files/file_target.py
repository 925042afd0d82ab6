"""FileTarget: a file of which only the committed part counts."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from rsq_pipe.connectors.files.held_file import HeldFile, Mark, held_file
from rsq_pipe.connectors.files.notice import notice
from rsq_pipe.connectors.files.owned_file import (
    NotOwnedError,
    OwnedFile,
    remove_copies,
)
from rsq_pipe.connectors.files.position import HEAD_BYTES
from rsq_pipe.connectors.files.unpacked import is_packed, packed, unpacked_head
from rsq_pipe.connectors.files.write_settings import FileOptions
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.errors import SinkError

_MENDS = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there, or raise the quota",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EIO: "check the disk",
    errno.ESTALE: "mount its network file system again",
}


class FileTarget:
    """
    Append to a file so that each batch is in it completely, and only once.

    The caller stores `position()` in the step that acknowledges a batch. Everything after the stored position
    belongs to a batch that will come again, and `open` cuts it off.

    However the steps of several processes interleave, nothing acknowledged is lost. The steps of a writer B:

    1. It stores its epoch in the position, if that holds no later one. (`SinkWriter`, before `open`.)
    2. It removes all copies that others have made of the file to take it over.
    3. It opens the file, and locks it; if another process has the lock, it copies the committed part.
    4. It asks the server whether the stored epoch is still its own, and gives up if not.
    5. It cuts the file off after the position, or puts its copy in the file's place.
    6. It writes after the position, and settles if the stored epoch is still its own.

    Could 5 remove what some writer W has acknowledged? If W has an earlier epoch: it acknowledged everything
    before step 1 of B, so B read it with the position, and B writes nowhere before that. If W has a later
    epoch, and stored it before B asked in 4, B has given up. If W stored it after that, B had its copy or its
    lock by then, and does not ask again. Its copy: W removed it in 2, so that B cannot put it in the place of
    the file that W writes; or B had done so before W opened the file. Its lock: W does not get it, and
    writes to a copy of its own, while B cuts off the former file. So nobody waits for B, wherever it is
    paused. No clock is asked.
    """

    most: ClassVar[int | None] = None
    """The most records of a batch: it takes any number."""

    def __init__(self, options: FileOptions, *, stage: str, root: Path) -> None:
        self._options = options
        self._stage = stage
        # A link is followed once, here: a take-over replaces the file it leads to, not the link.
        self._path = Path(os.path.realpath(root / options.path))
        shown = Path(os.path.normpath(root / options.path))
        self.name = str(shown.relative_to(root)) if shown.is_relative_to(root) else str(shown)
        self._packed = is_packed(self._path)
        self._file: OwnedFile | None = None
        # A cancelled caller may close while its write still runs in a thread; a descriptor closed in the
        # middle of a write could belong to another file a moment later.
        self._busy = threading.Lock()
        self._head = b""
        self._former: Mark | None = None
        self.length = 0

    def open(self, position: str | None, *, fresh: bool, still: Callable[[], bool]) -> None:
        """Become the only writer, and cut off what follows `position`."""
        self.close()
        with self._busy:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self._own(position, still, fresh=fresh)
            except NotOwnedError as exc:
                raise TargetBusyError(f"another process is opening {self.name} at this moment") from exc
            except OSError as exc:
                raise self._error(f"it cannot be written: {exc.strerror or exc}{mend(exc)}") from exc

    def append(self, data: bytes, records: int) -> None:  # noqa: ARG002  as in PartsTarget
        """
        Append the bytes of so many records to the committed part, all or none, and make them durable.

        Raises:
            SinkError: They could not be written, or the file no longer has its name.
        """
        with self._busy:
            self._append(self._opened, packed(self._path.name, data))

    def position(self) -> str:
        """Return the position after the last batch."""
        mark = Mark.of(self.length, self._head)
        return str(mark if self.length else replace(mark, former=self._former))

    def read_head(self, size: int) -> bytes:
        """Read the first bytes of the committed part."""
        head = self._opened.read(min(size, self.length))
        return unpacked_head(self._path.name, head, size)

    def held(self, position: str) -> HeldFile:
        """
        Compare the file with a stored position; it is neither opened for writing nor locked.

        Raises:
            SinkError: It cannot be read.
            ValueError: The stored position is malformed.
        """
        try:
            return held_file(self._path, self.name, position)
        except OSError as exc:
            raise self._error(f"it cannot be read: {exc.strerror or exc}") from exc

    def close(self) -> None:
        """Release the file."""
        with self._busy:
            if self._file is not None:
                self._file.close()
                self._file = None

    @property
    def is_open(self) -> bool:
        """Whether the file is open for writing."""
        return self._file is not None

    def roll(self, coming: int) -> None:
        """Do nothing before a batch, as there is only one file."""

    def stored(self) -> None:
        """Note that everything written is acknowledged."""

    @property
    def _opened(self) -> OwnedFile:
        if self._file is None:
            raise self._error("it is not open")
        return self._file

    def _append(self, file: OwnedFile, data: bytes) -> None:
        with self._translated_errors():
            self._check(file)
            if file.size > self.length:
                self._warn("cutting off what someone else added to the file")
                file.truncate(self.length)
            try:
                file.write(data, self.length)
                if self._options.fsync:
                    file.sync()
                # Once more: if the file was taken over or damaged since, its reader would miss this
                # batch.
                self._check(file)
            except (OSError, NotOwnedError):
                # What cannot be undone now is undone by the next open().
                with contextlib.suppress(OSError):
                    if file.size > self.length:
                        file.truncate(self.length)
                raise
        self.length += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + data)[:HEAD_BYTES]

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except NotOwnedError as exc:
            raise self._error(
                "it was moved away, or another writer has taken it over; put it back and run again, or just "
                "run again, which begins a new file if there is none"
            ) from exc
        except OSError as exc:
            why = f"it cannot be written: {exc.strerror}; nothing of the batch was kept{mend(exc)}"
            raise self._error(why) from exc

    def _check(self, file: OwnedFile) -> None:
        """
        Make sure that the file has its name, and still contains and begins with what was written.

        If the file had been shortened, a batch written at its place would follow a hole of NULs.

        Raises:
            NotOwnedError: Another file has the name, or none does.
            SinkError: The file was shortened or overwritten.
        """
        file.check_owned()
        whole = file.size >= self.length and file.read(len(self._head)) == self._head
        if not whole or (self.length and not self._packed and file.read(1, self.length - 1) != b"\n"):
            raise self._not_ours(file.size, self.length)

    def _own(self, position: str | None, still: Callable[[], bool], *, fresh: bool) -> OwnedFile:
        remove_copies(self._path)
        file = OwnedFile(self._path)
        try:
            locked = file.lock()
            self.length = self._committed(file, position, fresh=fresh)
            may = self._checked(file, still)
            if locked:
                with may:
                    file.truncate(self.length)
            else:
                self._warn("taking a file over from a writer that lost its lease")
                file.take_over(self.length, may)
            if file.is_new:
                file.sync_name()
            self._end_last_line(file)
            self._head = file.read(min(HEAD_BYTES, self.length))
        except BaseException:
            file.close()
            raise
        return file

    @contextmanager
    def _checked(self, file: OwnedFile, still: Callable[[], bool]) -> Iterator[None]:
        """Check that what is not committed may be undone; see the class for why in this order."""
        if not still():
            raise self._error("another process has become its writer")
        file.check_owned()
        if file.size < self.length:
            raise self._error(f"someone shortened it to {file.size} bytes just now")
        yield

    def _committed(self, file: OwnedFile, position: str | None, *, fresh: bool) -> int:
        """Decide how many of the file's bytes stay."""
        self._former = None
        if fresh:
            return 0
        if position is None:
            return self._kept_of_foreign(file.size)
        try:
            mark = Mark.parse(position)
        except ValueError as exc:
            raise self._error(f"{position!r} is not a stored position; use --fresh to start over") from exc
        size, head = file.size, file.read(HEAD_BYTES)
        if mark.former is not None and mark.former.fits(size, head):
            self._warn("file is back, and continues")
            mark = mark.former
        if size == 0 and mark.length > 0:
            self._warn("file is gone, a new one begins")
            self._former = mark
            return 0
        if not mark.fits(size, head):
            raise self._not_ours(size, mark.length)
        self._former = mark.former
        return mark.length

    def _not_ours(self, size: int, length: int) -> SinkError:
        return self._error(
            f"it is not the file this pipeline wrote {length} bytes to: it has {size} bytes now, or "
            "begins or ends there differently; put that file back, move this one away, use --fresh to start "
            "over",
            repairable=True,
        )

    def _kept_of_foreign(self, size: int) -> int:
        """Decide what to keep of a file that this pipeline has never written."""
        if size == 0 or self._options.exists == "replace":
            return 0
        if self._options.exists == "append":
            return size
        raise self._error(
            "it exists and was not written by this pipeline; move it away, set `exists: append`, "
            "or run with --fresh to replace it"
        )

    def _end_last_line(self, file: OwnedFile) -> None:
        """Begin on a new line when appending to someone's file that lacks a last newline."""
        if self._packed:
            return
        if self.length > 0 and file.read(1, self.length - 1) != b"\n":
            file.write(b"\n", self.length)
            self.length += 1

    def _warn(self, what: str) -> None:
        notice("warning", what, self._stage, self.name)

    def _error(self, why: str, *, repairable: bool = False) -> SinkError:
        what = f"stage {self._stage!r}: file {self.name}: {why}"
        return SinkError(what, stage=self._stage, repairable=repairable)


def mend(exc: OSError) -> str:
    """Return what to do, as the end of a sentence; empty if the error itself says enough."""
    found = _MENDS.get(exc.errno or 0)
    return f"; {found}, and run again" if found else ""
