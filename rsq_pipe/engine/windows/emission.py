"""Emission: emits the results of changed groups while their windows are still open, in rounds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows.emptying import Emptying
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.partials import unpacked
from rsq_pipe.model.state import SCALARS, Fields, Now, Page, StateChange
from rsq_pipe.spec.stages.aggregate import Aggregation, Windows
from rsq_pipe.verbs.windows.results import Group, Results
from rsq_pipe.verbs.windows.window_state import EMITTED, FINISHED, ROUND, SESSIONS, changed, window_end

PORTION = 500
"""About how many changed groups' results are settled at once."""


class Emission:
    """
    Emit results of open windows.

    A round begins by increasing the round counter: from then on settlements note changes for the next round,
    so the list of this one is complete, and each group leaves it in the step that emits its result.

    Args:
        state: The stage's state.
        sender, results: Emit the results, and build them.
        windows: The stage's windows.
        period: Seconds between two rounds; 0 for none.
        may_go_on: Whether there is room and this process still has the lease; renews the lease.
    """

    def __init__(
        self,
        state: StoredState,
        sender: ResultSender,
        results: Results,
        *,
        windows: Windows | None,
        period: float,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        self._state, self._sender, self._results = state, sender, results
        self._windows = windows
        self._period = round(period * 1000)
        self._may_go_on = may_go_on
        self.wait = 0.0 if period else math.inf
        """Seconds from the last turn until there may be another round without a new record."""

    @classmethod
    def of(
        cls,
        options: Aggregation,
        state: StoredState,
        sender: ResultSender,
        results: Results,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> Self:
        """Create the emission of a stage from its options."""
        period = options.emit or 0.0
        return cls(state, sender, results, windows=options.windows, period=period, may_go_on=may_go_on)

    @property
    def emits(self) -> bool:
        """Whether results of open windows are emitted; if not, it only cleans up after a file that did so."""
        return self._period > 0

    async def turn(self, *, ends: bool) -> None:
        """Finish rounds that have begun, and begin the next one when it is due or all input has ended."""
        stored, now = await self._state.ask(Fields([ROUND, EMITTED, FINISHED]), Now())
        turn, emitted, finished = (int(value or 0) for value in stored)
        ((_, noted),) = await self._state.ask(Page(changed(turn), 0, 1))
        self.wait = max(0, emitted + self._period - now) / 1000 if noted and self.emits else math.inf
        if noted and (ends or (self.emits and now - emitted >= self._period)):
            change = StateChange()
            change.equals(SCALARS, {ROUND: stored[0]})
            change.set(SCALARS, {ROUND: turn + 1, EMITTED: now})
            if not await self._sender.change(change):
                return
            turn += 1
        for before in range(finished, turn):
            if not await self._finish(before, last=ends):
                return

    async def _finish(self, turn: int, *, last: bool) -> bool:
        """Emit what is noted for a round; once all input has ended, only delete the notes."""
        bucket = changed(turn)
        emptying = Emptying(self._state, bucket, PORTION)
        while await self._may_go_on():
            (stored,) = await self._state.ask(Fields([FINISHED]))
            found = await emptying.page()
            is_all = emptying.is_all(found)
            if found or is_all:
                change = StateChange()
                change.equals(SCALARS, {FINISHED: stored[0]})
                change.lengths(bucket, {name: len(value) for name, value in found.items()})
                if is_all:
                    change.unlink(bucket)
                    change.set(SCALARS, {FINISHED: turn + 1})
                else:
                    change.delete(bucket, list(found))
                groups = [] if last else await self._groups(sorted(found), turn)
                if not await self._sender.send(self._results.of(groups), change):
                    return False
            if is_all:
                return True
            emptying.took(found)
        return False

    async def _groups(self, names: Sequence[bytes], turn: int) -> list[Group]:
        """Read groups; those whose windows have closed since are no longer there."""
        of: dict[str, list[bytes]] = defaultdict(list)
        for name in names:
            window, _, group = name.partition(b" ")
            of[window.decode()].append(group)
        answers = await self._state.ask(*(Fields(some, bucket) for bucket, some in of.items()))
        groups: list[Group] = []
        for (bucket, some), values in zip(of.items(), answers, strict=True):
            for group, value in zip(some, values, strict=True):
                if value is None:
                    continue
                if bucket == SESSIONS:
                    gap = self._windows.gap if self._windows else 0
                    groups += [Group(one[0], one[1] + gap, group, one[2:], turn) for one in unpacked(value)]
                else:
                    start = int(bucket)
                    end = window_end(start, self._windows)
                    groups.append(Group(start, end, group, unpacked(value), turn))
        return groups
