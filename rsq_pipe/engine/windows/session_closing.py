"""SessionClosing: emits the sessions of groups that have ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Self

from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.partials import packed, unpacked
from rsq_pipe.model.state import KEYS, SCALARS, Fields, StateChange, Timers, Value
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.verbs.windows.results import Group, Results
from rsq_pipe.verbs.windows.window_state import CLOSED, SESSIONS

PORTION = 500
"""How many sessions, and of how many groups at most, are settled at once."""


class SessionClosing:
    """
    Emit sessions that have ended; the group's other sessions stay.

    Args:
        gap: Milliseconds without a record after which a session has ended.
        state: The stage's state.
        sender, results: Emit the results, and build them.
        may_go_on: Whether there is room and this process still has the lease; renews the lease.
    """

    def __init__(
        self,
        gap: int,
        state: StoredState,
        sender: ResultSender,
        results: Results,
        *,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> None:
        self._gap = gap
        self._state, self._sender, self._results = state, sender, results
        self._may_go_on = may_go_on

    @classmethod
    def of(
        cls,
        options: Aggregation,
        state: StoredState,
        sender: ResultSender,
        results: Results,
        may_go_on: Callable[[], Awaitable[bool]],
    ) -> Self | None:
        """Create it if the stage has sessions."""
        if options.windows is None or not options.windows.gap:
            return None
        return cls(options.windows.gap, state, sender, results, may_go_on=may_go_on)

    async def ends(self, names: Sequence[str]) -> list[int]:
        """Return when the last sessions of groups end."""
        (values,) = await self._state.ask(Fields(names, SESSIONS))
        return [unpacked(value)[-1][1] + self._gap for value in values if value is not None]

    async def send(self, closed: int) -> None:
        """Emit the sessions that ended by this time."""
        most = PORTION
        while await self._may_go_on():
            (stored,) = (await self._state.ask(Fields([CLOSED])))[0]
            (due,) = await self._state.ask(Timers(closed, most))
            names = list(due)
            if not names:
                await self._forget_bucket()
                return
            (values,) = await self._state.ask(Fields(names, SESSIONS))
            change = StateChange()
            change.equals(SCALARS, {CLOSED: stored})
            groups, taken = self._take(dict(zip(names, values, strict=True)), closed, change)
            most = min(PORTION, 2 * taken)  # reads few of those that have to wait
            if not await self._sender.send(self._results.of(groups), change):
                return

    def _take(
        self, stored: Mapping[str, bytes | None], closed: int, change: StateChange
    ) -> tuple[list[Group], int]:
        """Take what has ended, as much as is settled at once; return it, and of how many groups it is."""
        groups: list[Group] = []
        expected: dict[str | bytes, Value | None] = {}
        left: dict[str | bytes, Value] = {}
        later: dict[str, int | float] = {}
        for name, value in stored.items():
            if len(groups) >= PORTION:
                break
            expected[name] = value
            sessions = unpacked(value) if value is not None else []
            ended = [one for one in sessions if one[1] + self._gap <= closed][: PORTION - len(groups)]
            groups += [Group(one[0], one[1] + self._gap, name.encode(), one[2:]) for one in ended]
            if rest := sessions[len(ended) :]:
                later[name] = rest[0][1] + self._gap
                left[name] = packed(rest)
        gone = [name for name in stored if name in expected and name not in later]
        change.equals(SESSIONS, expected)
        change.set(SESSIONS, left)
        change.delete(SESSIONS, gone)
        change.forget(gone)
        change.timer(later)
        return groups, len(expected)

    async def _forget_bucket(self) -> None:
        """Remove the bucket of sessions from the timers, if there are none."""
        (due,) = await self._state.ask(Timers())
        if list(due) == [SESSIONS]:
            change = StateChange()
            change.equals(SCALARS, {KEYS: b"0"})
            change.forget([SESSIONS])
            await self._sender.change(change)
