"""Matching: the files that match a pattern, found within a bounded number of names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import has_magic
from itertools import islice
from pathlib import Path

from rsq_pipe.suggestion import near

MAX_FILES = 100_000
"""Maximum number of files that the patterns of one source may match; each has its own position in Redis."""

MAX_SEEN = 1_000_000
"""Maximum number of names that a pattern may examine: `/**/*.jsonl` would otherwise read every folder."""

_MAX_NAMES = 1_000
"""Maximum number of names in a folder that are searched for a similar one."""


class TooManyError(Exception):
    """A pattern matches, or has to examine, more than is allowed; the text says which."""


def matching(root: Path, pattern: str) -> Iterator[Path]:
    """
    Yield the files that match a pattern; folders too, if no part of the pattern follows.

    As in a shell: `*`, `?` and `[...]` stay in their folder and leave out hidden names, `**` goes down any
    number of folders, but follows no links to folders, which might lead round in a circle.

    Args:
        root: The base of relative patterns.
        pattern: The pattern.

    Raises:
        TooManyError: More than MAX_FILES match, or MAX_SEEN names were examined.
    """
    path = Path(os.path.normpath(root / pattern))
    # The root is a place, not a pattern, whatever characters its name contains.
    top = root if path.is_relative_to(root) else Path(path.anchor)
    parts = path.relative_to(top).parts
    found = _Look().below(str(top), (*parts, "*") if parts[-1:] == ("**",) else parts)
    for number, name in enumerate(found):
        if number == MAX_FILES:
            raise TooManyError(f"{pattern!r} matches more than {MAX_FILES:,} files")
        yield Path(name)


class _Look:
    def __init__(self) -> None:
        self._seen = 0

    def below(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        if not parts:
            yield folder
            return
        part, rest = parts[0], parts[1:]
        if part == "**":
            for inner in self._folders(folder):
                yield from self.below(inner, rest)
        elif has_magic(part):
            for entry in self._entries(folder):
                hidden = entry.name.startswith(".") and not part.startswith(".")
                if not hidden and fnmatchcase(entry.name, part) and (not rest or entry.is_dir()):
                    yield from self.below(entry.path, rest)
        elif os.path.lexists(found := os.path.join(folder, part)):  # noqa: PTH118  twice as quick, and hot
            yield from self.below(found, rest)

    def _folders(self, top: str) -> Iterator[str]:
        """Yield a folder and all folders below it."""
        waiting = [top]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting += [
                entry.path
                for entry in self._entries(folder)
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)
            ]

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._seen += 1
                    if self._seen > MAX_SEEN:
                        raise TooManyError(f"after {MAX_SEEN:,} names the search for it was given up")
                    yield entry
        except OSError:  # it is not a folder, or may not be read: nothing in it matches
            return


def meant_file(folder: Path, name: str) -> str:
    """Return the file of a folder that a missing name probably means; empty if there is none."""
    try:
        there = [] if has_magic(name) else [one.name for one in islice(os.scandir(folder), _MAX_NAMES)]
    except OSError:
        return ""
    meant = near(name, sorted(there))
    return f"did you mean {meant!r}?" if meant else ""
