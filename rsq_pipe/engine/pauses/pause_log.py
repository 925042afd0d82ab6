"""PauseLog: log lines for the pauses of stages, few even if a service fails now and then for days."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from rsq_pipe.engine.pauses.breaker import Breaker

ONE_CALL = "paused: a call failed, and is tried again"
MANY_CALLS = "paused: calls fail one after another"
GOES_ON = "goes on: calls work again"

CALM = 60.0
"""Seconds between two log lines about short pauses of a stage; those between are counted in the next line."""

SHORT = 2.0
"""Seconds up to which a pause is short: a longer one is logged in any case."""

LONG = 10.0
"""Seconds of a pause from which on the records may be at fault, and not what they call."""

_MEND = (
    "mend what the stage calls, and it goes on by itself; if the records are at fault, stop the run and set "
    "`breaker: false`: then they use up their attempts"
)


class _Seen(Struct):
    """
    Hold what is known of a stage's pauses.

    Args:
        at: When a pause was last logged.
        since: When the last pause began.
        unlogged: How many pauses have not been logged since.
        is_logged: Whether the last pause was logged.
    """

    at: float = -math.inf
    since: float = -math.inf
    unlogged: int = 0
    is_logged: bool = False


class PauseLog:
    """
    Log the pauses of stages, and their ends: the first at once, long ones always, short ones now and then.

    Args:
        log: Where to log them.
        clock: The breakers' clock.
    """

    def __init__(self, log: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def paused(self, stage: str, breaker: Breaker) -> None:
        """Note that a stage pauses, or that the record it tried failed too."""
        seen, now = self._seen.setdefault(stage, _Seen()), self._clock()
        if breaker.since != seen.since:
            seen.since, seen.is_logged = breaker.since, False
            seen.unlogged += 1
        if now - seen.at < CALM and now - breaker.since + breaker.pause <= SHORT:
            return
        what = ONE_CALL if breaker.calls == 1 else MANY_CALLS
        more: dict[str, Any] = {"error": breaker.why, "tried_again_in": round(breaker.pause, 3)}
        others = seen.unlogged - (not seen.is_logged)
        if others:
            more["short_pauses_before"] = others
        if what == MANY_CALLS and breaker.pause >= LONG:
            more["mend"] = _MEND
        self._log.warning(what, stage=stage, **more)
        seen.at, seen.unlogged, seen.is_logged = now, 0, True

    def resumed(self, stage: str, breaker: Breaker) -> None:
        """Note that a stage goes on; logged if its pause was."""
        seen = self._seen.get(stage)
        if seen is not None and seen.is_logged and seen.since == breaker.since:
            seen.is_logged = False
            self._log.warning(GOES_ON, stage=stage, paused=round(self._clock() - breaker.since, 1))
