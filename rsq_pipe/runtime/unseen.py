"""Unseen: entries that were dead-lettered before any handler saw them, told of in the log."""

from __future__ import annotations

import time

import structlog

from rsq_pipe.runtime.identity import Identity
from rsq_pipe.streams.headers import WHY
from rsq_pipe.streams.settlement import Entry, Output
from rsq_pipe.telemetry.observer import StageObserver, headers_of
from rsq_pipe.telemetry.redaction import redact

QUIET = 10.0
"""Seconds between two log lines of one stage worker: each such entry ends alone, and a million may come."""


class Unseen:
    """
    Tell of a stage's entries that cannot be decoded, or took their worker down each time.

    Args:
        pipeline, stage: Names, for the log.
        identity: Asked for the record's id.
        observer: Asked for the dead letter, with its trace.
    """

    def __init__(self, pipeline: str, stage: str, identity: Identity, observer: StageObserver) -> None:
        self._identity = identity
        self._observer = observer
        self._log = structlog.get_logger("rsq_pipe").bind(pipeline=pipeline, stage=stage)
        self._told_at = -QUIET
        self._count = 0
        self._example: dict[str, str] = {}

    def note(self, entry: Entry, letter: Output) -> Output:
        """Take note of an entry; return its dead letter as it is to be written."""
        letter = self._observer.burying(entry, self._identity.letter(entry.stream, entry.id, letter))
        headers = headers_of(letter.fields)
        if not self._count:
            self._example = {
                "reason": headers.get(f"{WHY}reason", ""),
                "first_error": redact(headers.get(f"{WHY}error", "")),
                "entry": f"{entry.stream}/{entry.id}",
            }
        self._count += 1
        if time.monotonic() - self._told_at >= QUIET:
            self.tell()
        return letter

    def tell(self) -> None:
        """Log what has not been told of yet."""
        if self._count:
            self._log.warning("dead-lettered entries no handler saw", records=self._count, **self._example)
            self._told_at, self._count = time.monotonic(), 0
