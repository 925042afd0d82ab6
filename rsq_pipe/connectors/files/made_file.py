"""MadeFile: a file made from another one, to be renamed when it is complete."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Make: TypeAlias = Callable[[Path, Path], None]
"""Makes the second file from the first; OSError if it cannot be written."""

_ENDING = ".made"


class MadeFile:
    """
    Make a file next to its final place. All methods raise OSError as the system does.

    A process that is killed leaves it behind; `remove_made` removes it.

    Args:
        make: Makes it.
        of: The original file.
        name: Its final name; the caller renames it.
    """

    def __init__(self, make: Make, of: Path, name: Path) -> None:
        self._fd, path = tempfile.mkstemp(prefix=f".{name.name}.", suffix=_ENDING, dir=name.parent)
        self.path = Path(path)
        try:
            make(of, self.path)
            os.fchmod(self._fd, of.stat().st_mode & 0o777)
            os.fsync(self._fd)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release it; if it was not renamed, it is removed."""
        self.path.unlink(missing_ok=True)
        os.close(self._fd)


def linked(of: Path, to: Path) -> None:
    """Give a file a second name, which no other file can get; a copy where there are no links."""
    to.unlink()
    try:
        os.link(of, to)
    except OSError:
        shutil.copyfile(of, to)
        with to.open("rb") as copy:
            os.fsync(copy.fileno())


def remove_made(folder: Path, names: str) -> None:
    """
    Remove files that were not renamed yet: of processes that were killed, or are paused before the rename.

    Args:
        folder: Where they are.
        names: A regular expression for their final names.
    """
    made = re.compile(rf"[.](?:{names})[.]\w+{re.escape(_ENDING)}")
    for path in [*folder.iterdir()] if folder.is_dir() else []:
        if made.fullmatch(path.name):
            path.unlink(missing_ok=True)
