"""HeldTable: a lookup's file, read once per process and again when it has changed."""

from __future__ import annotations

import threading
import time
from weakref import WeakValueDictionary

from rsq_pipe.connectors.wording import wording
from rsq_pipe.verbs.tables.table import BrokenTableError, Table, Wanted, load, stamp

PERIOD = 1.0
"""Seconds between two checks of a file; a changed file is read once it has been stable for this long."""

_held: WeakValueDictionary[str, HeldTable] = WeakValueDictionary()
_lock = threading.Lock()


class HeldTable:
    """
    Hold the rows of a file for all workers of a process that read the same columns of it.

    A file that has changed is read in the background, and replaces the old rows as a whole. If it cannot be
    read, or is not a table, the old rows stay.

    Thread-safe.

    Args:
        wanted: The file and columns.

    Attributes:
        table: The rows.
        trouble: Why the rows are not those now in the file; empty if they are.
        since: When that was found, in seconds since 1970.
        readings: How often it was read.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._reading = threading.Lock()
        self._next = 0.0
        self._stands: object = ()  # stamp of the file read last, successfully or not
        self._seen: object = ()  # stamp of a change that may still be in progress
        self._is_loaded = False
        self.table: Table  # from `open` on
        self.trouble = ""
        self.since = 0.0
        self.readings = 0

    @staticmethod
    def of(wanted: Wanted) -> HeldTable:
        """Return the table shared by all workers that read the same columns."""
        with _lock:
            held = _held.get(wanted.identity)
            if held is None:
                held = _held[wanted.identity] = HeldTable(wanted)
            return held

    def open(self) -> None:
        """
        Read the file, unless it has been read.

        Raises:
            BrokenTableError, OSError: It is not a table, or cannot be read.

        Blocking: call it in a thread.
        """
        with self._reading:
            if not self._is_loaded:
                found = stamp(self._wanted.path)
                self.table = load(self._wanted)
                self._stands = found
                self._is_loaded = True
                self.readings = 1

    def reload_if_changed(self) -> None:
        """Reread the file, in a thread, if it has changed and is stable; usually costs nothing."""
        now = time.monotonic()
        if now < self._next or not self._is_loaded:
            return
        self._next = now + PERIOD
        found = stamp(self._wanted.path)
        if found == self._stands:
            return
        if found != self._seen:
            self._seen = found
            return
        if self._reading.acquire(blocking=False):
            threading.Thread(target=self._read_again, args=(found,), daemon=True, name="table").start()

    def _read_again(self, found: object) -> None:
        try:
            self._replace(found)
        finally:
            self._reading.release()

    def _replace(self, found: object) -> None:
        path = self._wanted.path
        try:
            table = load(self._wanted)
        except BrokenTableError as exc:
            why = str(exc)
        except OSError as exc:
            why = f"{self._wanted.file.path}: {wording(exc)}"
        else:
            if stamp(path) != found:  # written while it was read: check again later
                return
            self.table, self.trouble = table, ""
            self.readings += 1
            self._stands = found
            return
        if stamp(path) == found:
            self._stands = found
            self.since = self.since if self.trouble else time.time()
            self.trouble = why
