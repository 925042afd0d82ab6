"""Breaker: decides from the outcomes of a stage's calls when it pauses, and when it tries again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from rsq_pipe.error_text import full_text
from rsq_pipe.errors import (
    CodecError,
    EndpointUnavailableError,
    EvaluationError,
    HandlerTimeoutError,
    TableUnavailableError,
)
from rsq_pipe.model.outcome import Failure, Reject, Retry
from rsq_pipe.spec.graph import BreakerPolicy

NO_ANSWER = 5
"""Records in a row without an answer after which a stage pauses, even if its `failures` is higher."""

UNTIL_KNOWN = 1.5
"""Seconds after which all processes know that the stage pauses."""

SOON = 1.0
"""Seconds after a pause in which another begins with more than the first, but at most with this."""

JITTER = 0.2
"""The share by which a pause is longer or shorter, so that processes do not try again at once."""

_SILENCE = (ConnectionError, TimeoutError, HandlerTimeoutError)
"""Errors of a call that got no answer: whatever is wrong, it is not the record."""

_OF_THE_RECORD = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError),
    *(CodecError, EvaluationError),
)
"""Errors that Python raises if a value, or the code, is wrong: waiting repairs neither."""

_REMEMBERED = 100_000
"""How many excused records are remembered; the oldest are forgotten, and may be excused again."""


class Cause(Struct, frozen=True):
    """
    Name why a call failed, if the reason may lie outside its record.

    Args:
        kind: Equal for failures with the same cause: the error's type; empty if nothing answered.
        text: What was raised. The error itself would keep its batch in memory.
        certain: Whether surely no record is to blame: then even the first is excused, every time.
        broke: Whether a connection broke during the call: then a record is excused once.
        pause: Seconds that the stage is asked to pause, at least.
    """

    kind: str
    text: str = ""
    certain: bool = False
    pause: float = 0.0
    broke: bool = False


def cause_of(outcome: Failure | Retry | Reject) -> Cause | None:
    """Read the cause from a record's outcome; None if the record is at fault, or no cause is known."""
    if not isinstance(outcome, Failure) or not outcome.retryable:
        return None
    if isinstance(outcome.error, TableUnavailableError):
        away = outcome.error
        return Cause("", full_text(away), certain=away.certain, pause=away.retry_after)
    if isinstance(outcome.error, EndpointUnavailableError):
        asked = outcome.error
        return Cause("", full_text(asked), certain=asked.certain, pause=asked.retry_after, broke=asked.broke)
    error: BaseException | None = outcome.error
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        # A client's own error was usually raised from a socket error.
        if isinstance(error, _SILENCE):
            return Cause("", full_text(outcome.error))
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    if isinstance(outcome.error, _OF_THE_RECORD):
        return None
    kind = type(outcome.error)
    return Cause(f"{kind.__module__}.{kind.__qualname__}", full_text(outcome.error))


class State(Enum):
    """Whether a stage works, pauses, or tries one record."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """
    Watch the calls of one stage in one process, whichever of its workers made them.

    A record is excused, that is, handled again without counting an attempt, if it failed as one of many in a
    row. If it fails again after the stage has handled other records, it is to blame and no longer excused.

    Args:
        policy: When it opens and for how long.
        clock: A monotonic clock, in seconds.
        draw: Where the jitter of pauses comes from; None for none.

    Attributes:
        state: Closed: the stage works; open: it pauses; probing: one record is being tried.
        is_open: Whether the stage pauses, or tries one record.
        is_calm: Whether nothing failed lately: then a batch without failures need not be noted.
        since: When it opened, by the clock.
        why: Why it opened, or the error of the last record that was tried.
        pause: Seconds of the current pause; 0 for none.
        calls: How many calls in a row had failed when it opened, and since.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        clock: Callable[[], float] = time.monotonic,
        draw: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._draw = draw
        self._last_pause = 0.0  # seconds, without jitter and whatever a service asked for
        self._last_success = -math.inf  # when a record that was tried was handled
        self._cause: Cause | None = None  # of the failures in the row
        self._failed_rids: set[str] = set()  # ids of the records that failed in a row
        self._failed_calls = 0  # that failed in a row
        self._excused: dict[str, None] = {}
        self._is_suspected = False  # whether it is open only because another process said so
        self._due = 0.0
        self.state = State.CLOSED
        self.is_open = False
        self.is_calm = True
        self.since = 0.0
        self.why = ""
        self.pause = 0.0
        self.calls = 0

    def note(self, rids: Sequence[str], failed: Mapping[int, Cause | None]) -> frozenset[int]:
        """
        Count the outcomes of a batch, and open if its last records failed in a row.

        Args:
            rids: The records' ids, in order.
            failed: Place -> why a record failed; None if that says nothing about other records.

        Returns:
            The places of the records that are excused.
        """
        if not failed:
            self._end_row()
            if self._excused:
                self._forget(rids)
            self._refresh()
            return frozenset()
        excused: list[int] = []
        unexcused: list[int] = []  # places of those in the row that are in this batch and not excused yet
        for place, rid in enumerate(rids):
            if place not in failed:
                self._end_row()
                self._forget((rid,))
                unexcused = []
                continue
            cause = failed[place]
            if cause is None or (not cause.certain and self._is_to_blame(rid)):
                continue
            if self._cause is None or cause.kind != self._cause.kind:
                self._end_row()
                unexcused = []
            # After a failure of which surely no record is to blame, nothing else of the batch is sent.
            self._failed_calls += not (cause.certain and self._failed_calls)
            self._cause = cause
            self._failed_rids.add(rid)
            if self._blames_no_record:
                excused += [*unexcused, place]
                unexcused = []
            elif cause.broke:
                excused.append(place)
            else:
                unexcused.append(place)
        self._remember(rids[place] for place in excused)
        self._refresh()
        if self._cause is not None and self._blames_no_record and not self.is_open:
            self._open(self._cause.text, max(self._opening_pause(), self._cause.pause))
        return frozenset(excused)

    def again_in(self, cause: Cause | None) -> float:
        """
        Return when an excused record comes back.

        Args:
            cause: Why it failed; None if it was not tried.

        Returns:
            Seconds. A process that does not know of the pause may blame a record that failed: such a record
            waits until it does, unless its cause shows that it is not to blame.
        """
        known = max(self._policy.first, UNTIL_KNOWN)
        if cause is None or not (cause.certain or cause.broke):
            return known
        return min(self.pause or self._with_jitter(self._policy.first), known)

    def wait(self) -> float:
        """
        Ask whether a record may be tried.

        Returns:
            Seconds until it is time to ask again. 0: the caller may try one, and then reports its outcome
            with `trial_succeeded`, `trial_failed` or `trial_abandoned`.
        """
        match self.state:
            case State.CLOSED:
                return 0.0
            case State.PROBING:
                return self._policy.first  # another worker is trying one
            case State.OPEN:
                left = self._due - self._clock()
                if left <= 0:
                    self.state = State.PROBING
                return max(left, 0.0)

    def trial_succeeded(self) -> None:
        """Note that the tried record was handled: the stage resumes."""
        self.state, self.pause, self._last_success = State.CLOSED, 0.0, self._clock()
        self._end_row()
        self._refresh()

    def trial_failed(self, why: str, pause: float = 0.0) -> None:
        """Note that the tried record failed as well: pause twice as long as before, or longer if asked to."""
        if self.is_open:
            if self._is_suspected:  # until now this process had seen no call fail
                self.since, self._is_suspected = self._clock(), False
            self.why = why
            self.calls += 1
            self._pause(max(self._grown_pause(self._policy.max), pause))

    def trial_abandoned(self) -> None:
        """Note that the attempt showed nothing; another record may be tried at once."""
        if self.is_open:
            self.state = State.OPEN

    def suspect(self, why: str) -> None:
        """Note that another process pauses the stage: here, too, one record is tried before all others."""
        if not self.is_open:
            self._last_pause = 0.0
            self._open(why, 0.0)
            self._is_suspected = True

    def try_now(self) -> None:
        """Note that another process has seen the stage work: a record is tried now."""
        if self.state is State.OPEN:
            self._last_pause = 0.0
            self._pause(0.0)

    def _open(self, why: str, pause: float) -> None:
        self.since, self.why, self.calls = self._clock(), why, self._failed_calls
        self._is_suspected = False
        self._pause(pause)

    def _opening_pause(self) -> float:
        """Choose the pause of a stage that opens: what fails now and then is tried less and less often."""
        if self._clock() - self._last_success > SOON:
            self._last_pause = 0.0
        return self._grown_pause(max(self._policy.first, SOON))

    def _grown_pause(self, most: float) -> float:
        self._last_pause = min(2 * self._last_pause or self._policy.first, most)
        return self._with_jitter(self._last_pause)

    def _with_jitter(self, seconds: float) -> float:
        return seconds * (1 + self._draw.uniform(-JITTER, JITTER)) if self._draw else seconds

    def _pause(self, seconds: float) -> None:
        self.state, self.pause = State.OPEN, seconds
        self._due = self._clock() + seconds
        self._refresh()

    def _refresh(self) -> None:
        self.is_open = self.state is not State.CLOSED
        self.is_calm = not (self._failed_rids or self._excused or self.is_open)

    @property
    def _blames_no_record(self) -> bool:
        """Whether so many have failed in a row that no single record is to blame."""
        limit = self._policy.failures
        if self._cause is not None and not self._cause.kind:
            limit = 1 if self._cause.certain else min(limit, NO_ANSWER)
        return self.is_open or len(self._failed_rids) >= limit

    def _end_row(self) -> None:
        self._failed_rids.clear()
        self._failed_calls = 0
        self._cause = None

    def _is_to_blame(self, rid: str) -> bool:
        """Return whether a failed record was excused before; if so, the next failure may be excused again."""
        if self.is_open or rid not in self._excused:
            return False
        del self._excused[rid]
        return True

    def _remember(self, rids: Iterable[str]) -> None:
        self._excused |= dict.fromkeys(rids)
        while len(self._excused) > _REMEMBERED:
            del self._excused[next(iter(self._excused))]

    def _forget(self, rids: Iterable[str]) -> None:
        for rid in rids:
            self._excused.pop(rid, None)
