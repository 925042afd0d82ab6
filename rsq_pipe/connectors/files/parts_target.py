"""PartsTarget: a series of files, each of which is complete when it appears under its name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from rsq_pipe.connectors.files.file_target import FileTarget
from rsq_pipe.connectors.files.held_file import HeldFile
from rsq_pipe.connectors.files.made_file import MadeFile, Make, linked, remove_made
from rsq_pipe.connectors.files.owned_file import TurnTakenError, folder_turn, sync_folder
from rsq_pipe.connectors.files.unpacked import SUFFIXES
from rsq_pipe.connectors.files.write_settings import FileOptions, Rotate
from rsq_pipe.connectors.sink import TargetBusyError
from rsq_pipe.errors import SinkError, StreamError
from rsq_pipe.lock_holder import locked


class PartsTarget:
    """
    Write to a hidden file; when it is full, give it its name, and begin the next one.

    The position is the number of the part being written, its record count, and the place in it. A part is
    finished before a batch is written, when everything in it is known to be committed; so everything under a
    part's name was acknowledged, and never changes again. It gets that name in these steps: the file gets a
    second name, or is converted to a second file; the server is asked whether this process still is the
    writer; the second name becomes the part's. A process that opens removes all second names, and only then
    looks whether the part that it would continue exists: if so, it continues with the next. So one that was
    paused before its rename cannot do it any more, and nobody waits for it.

    Only what is removed by name is removed in a turn that one process at a time has: after `--fresh` another
    may write a file of the same name.

    Args:
        options, rotate, stage, root: As for the sink.
        make: Converts the written file to a part, if its format is another one: a new file next to it, which
            then gets the part's name.
    """

    def __init__(
        self, options: FileOptions, rotate: Rotate, *, stage: str, root: Path, make: Make | None = None
    ) -> None:
        self._options = options
        self._make = make
        self._rotate = rotate
        self._stage = stage
        self._root = root
        self._path = Path(os.path.realpath(root / options.path))
        self._number = 1
        self._records = 0
        self._file = self._staged()
        self._began = 0.0
        self._committed = True
        self._still: Callable[[], bool] = lambda: False
        self.name = FileTarget(options, stage=stage, root=root).name

    @property
    def length(self) -> int:
        """Bytes in the part being written."""
        return self._file.length

    @property
    def most(self) -> int | None:
        """The most records of a batch, so that a part has no more than allowed."""
        return self._rotate.records

    def open(self, position: str | None, *, fresh: bool, still: Callable[[], bool]) -> None:
        """Become the only writer, and cut off what follows `position`."""
        self._file.close()
        self._still = still
        mark: str | None = None
        self._records = 0
        remove_made(self._path.parent, self._names)
        if position is None or fresh:
            self._begin_at_first(fresh=fresh)
        else:
            place, _, mark = position.partition("/")
            number, _, records = place.partition("+")
            if not number.isdecimal():
                raise self._error(
                    "it was written as one file so far; give the parts another `path`, or use --fresh to "
                    "start over"
                )
            self._number, self._records = int(number), int(records or 0)
        if self._part(self._number).exists():
            self._remove_hidden()  # its writer was killed, or paused, before it could
            self._number, self._records, mark = self._number + 1, 0, None
        self._open_staged(mark)

    def roll(self, coming: int) -> None:
        """Before a batch of so many records: finish the part if it is full, and begin the next."""
        if not self.length:
            self._began, self._records = time.monotonic(), 0
            return
        if self._is_full(coming) and self._finish():
            self._number, self._records = self._number + 1, 0
            self._open_staged(None)

    def append(self, data: bytes, records: int) -> None:
        """Append the bytes of so many records to the committed part, all or none, and make them durable."""
        self._committed = False
        self._file.append(data, records)
        self._records += records

    def stored(self) -> None:
        """Note that everything written is acknowledged."""
        self._committed = True

    def position(self) -> str:
        """Return the position after the last batch."""
        return f"{self._number}+{self._records}/{self._file.position()}"

    def read_head(self, size: int) -> bytes:
        """Read the first bytes of the part."""
        return self._file.read_head(size)

    def held(self, position: str) -> HeldFile:
        """Compare the part being written with a stored position."""
        place, _, mark = position.partition("/")
        self._number = int(place.partition("+")[0])
        found = self._staged().held(mark)
        return replace(found, position=f"{place}/{found.position}")

    def close(self) -> None:
        """Finish the part if all of it is acknowledged, and release it."""
        try:
            if self._committed and self._file.is_open and self.length:
                self._finish()
        finally:
            self._file.close()

    def _is_full(self, coming: int) -> bool:
        limits = self._rotate
        return (
            (limits.every is not None and time.monotonic() - self._began >= limits.every)
            or (limits.size is not None and self.length >= limits.size)
            or (limits.records is not None and self._records + coming > limits.records)
        )

    def _finish(self) -> bool:
        """Give the part its name; False if it cannot be known now that this process still is the writer."""
        hidden, part = self._hidden(self._number), self._part(self._number)
        try:
            made = MadeFile(self._make or linked, hidden, part)
            try:
                if not self._is_still():
                    return False
                made.path.rename(part)
            finally:
                made.close()
        except OSError as exc:
            # Removed by a process that was opening, and maybe had to give up.
            is_removed = isinstance(exc, FileNotFoundError) and hidden.exists()
            if is_removed or not self._is_still():
                return False  # it is full a batch later too, and finished by the next run at the latest
            raise self._error(f"a part cannot be finished: {exc.strerror or exc}") from exc
        sync_folder(part.parent)
        self._remove_hidden()
        self._file.close()
        return True

    def _is_still(self) -> bool:
        """Return whether this process certainly is the writer; False also while the server is away."""
        try:
            return self._still()
        except StreamError:
            return False

    def _remove_hidden(self) -> None:
        """Remove the hidden file of a part that has its name, unless another process may be the writer."""
        with suppress(TargetBusyError), self._turn():
            if self._is_still():
                self._hidden(self._number).unlink(missing_ok=True)

    def _open_staged(self, mark: str | None) -> None:
        self._file = self._staged()
        self._file.open(mark, fresh=False, still=self._still)
        self._began = time.monotonic()
        self._committed = True

    def _begin_at_first(self, *, fresh: bool) -> None:
        """Decide what to do with existing parts, and which number to begin with."""
        found = self._found()
        self._number = 1
        if fresh or (found and self._options.exists == "replace"):
            # Also if there are none: an earlier writer must not remove a hidden file that is begun now.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._turn():
                if self._still():
                    for part in found.values():
                        part.unlink(missing_ok=True)
        elif not found:
            return
        elif self._options.exists == "append":
            self._number = max(found) + 1
        else:
            what = (
                f"{next(iter(found.values())).name} exists and was not written by this pipeline; move it "
                "away, set `exists: append`, or run with --fresh to replace it"
            )
            raise self._error(what)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            with folder_turn(self._path.parent):
                yield
        except TurnTakenError as exc:
            what = locked(f"is opening {self.name} at this moment", self._path.parent)
            raise TargetBusyError(what) from exc
        except OSError as exc:
            raise self._error(f"a part cannot be finished: {exc.strerror or exc}") from exc

    def _error(self, why: str) -> SinkError:
        return SinkError(f"stage {self._stage!r}: file {self.name}: {why}", stage=self._stage)

    def _found(self) -> dict[int, Path]:
        named = re.compile(self._names)
        folder = self._path.parent
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return {int(found[1]): folder / name for name in names if (found := named.fullmatch(name))}

    @property
    def _names(self) -> str:
        """A regular expression for the names of parts."""
        stem, suffix = _parted(self._path.name)
        return rf"{re.escape(stem)}-(\d{{6,}}){re.escape(suffix)}"

    def _part(self, number: int) -> Path:
        stem, suffix = _parted(self._path.name)
        return self._path.with_name(f"{stem}-{number:06}{suffix}")

    def _hidden(self, number: int) -> Path:
        part = self._part(number)
        return part.with_name(f".{part.name}")

    def _staged(self) -> FileTarget:
        path = str(self._hidden(self._number))
        options = self._options.model_copy(update={"path": path, "exists": "replace"})
        return FileTarget(options, stage=self._stage, root=self._root)


def _parted(name: str) -> tuple[str, str]:
    """Split a file's name before its suffix: `.jsonl`, `.jsonl.gz`."""
    packed = next((suffix for suffix in SUFFIXES if name.endswith(suffix)), "")
    plain = name.removesuffix(packed)
    ending = Path(plain).suffix
    return plain.removesuffix(ending), f"{ending}{packed}"
