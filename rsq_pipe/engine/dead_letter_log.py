"""DeadLetterLog: what a source dead-letters, told in one line a batch and kind."""

from __future__ import annotations

import re
from typing import Any

from rsq_pipe.ids import shown

MAX_KINDS = 5
"""Kinds that a batch's lines tell apart; what is of no such kind is told together."""

_VARYING = re.compile(r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+|\d+")
_OTHERS = "others"


class DeadLetterLog:
    """
    Collect the dead letters of one batch, and log them.

    Args:
        log: Where to; bound to pipeline and stage.
    """

    def __init__(self, log: Any) -> None:
        self._log = log
        self._kinds: dict[str, list[Any]] = {}

    def add(self, rid: str, error: str) -> None:
        """Note one; errors that differ only in numbers and in what they quote are of one kind."""
        kind = _VARYING.sub("#", error)
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = _OTHERS
        self._kinds.setdefault(kind, [0, rid, error])[0] += 1

    def flush(self) -> None:
        """Log a line for each kind, with the first of it, and forget them."""
        for count, rid, error in self._kinds.values():
            self._log.warning(
                "dead-lettered what cannot be read", records=count, first=shown(rid), error=error
            )
        self._kinds.clear()
