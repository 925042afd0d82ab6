"""Changes: which files have something new, for sources that do not end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

STABLE = 1.0
"""Seconds for which a new file must be unchanged before it is read, unless it is followed."""

_State: TypeAlias = tuple[int, int, int]


class Changes:
    """
    Check files repeatedly.

    Args:
        listed: Names the files that exist now.
        path: Finds the file for a name.
        at_once: Whether additions are read at once, rather than when a file has been left alone.
    """

    def __init__(
        self, listed: Callable[[], Sequence[str]], path: Callable[[str], Path], *, at_once: bool
    ) -> None:
        self._listed = listed
        self._path = path
        self._at_once = at_once
        self._read: dict[str, _State] = {}
        self._waiting: dict[str, tuple[_State, float]] = {}

    def next(self) -> list[str]:
        """Name the files that should be read: each one that has changed since it was last named."""
        found: list[str] = []
        for name in self._listed():
            state = self._state(name)
            if state is None or self._read.get(name) == state:
                continue
            if not self._at_once and not self._is_stable(name, state):
                continue
            # Its state before it is read: additions during the reading count as a change.
            self._read[name] = state
            self._waiting.pop(name, None)
            found.append(name)
        return found

    def _state(self, name: str) -> _State | None:
        try:
            now = self._path(name).stat()
        except OSError:
            return None  # deleted or moved between the two looks
        return now.st_ino, now.st_size, now.st_mtime_ns

    def _is_stable(self, name: str, state: _State) -> bool:
        # The clock behind the time stamp may be another machine's: changes observed here count as well.
        if time.time() - state[2] / 1e9 >= STABLE:
            return True
        before, since = self._waiting.get(name, (None, 0.0))
        if before != state:
            self._waiting[name] = state, time.monotonic()
            return False
        return time.monotonic() - since >= STABLE
