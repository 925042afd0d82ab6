"""SessionClosing: emits the sessions of groups that have ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from rsq_pipe.engine.state.stored_state import StoredState
from rsq_pipe.engine.windows.result_sender import ResultSender
from rsq_pipe.model.partials import packed, unpacked
from rsq_pipe.model.state import KEYS, SCALARS, Fields, StateChange, Timers
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.verbs.windows.results import Group, Results
from rsq_pipe.verbs.windows.window_state import CLOSED, SESSIONS

PORTION = 500
"""How many groups are settled at once."""


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

    async def send(self, closed: int) -> None:
        """Emit the sessions that ended by this time."""
        while await self._may_go_on():
            (stored,) = (await self._state.ask(Fields([CLOSED])))[0]
            (due,) = await self._state.ask(Timers(closed, PORTION))
            names = list(due)
            if not names:
                await self._forget_bucket()
                return
            (values,) = await self._state.ask(Fields(names, SESSIONS))
            change = StateChange()
            change.equals(SCALARS, {CLOSED: stored})
            change.equals(SESSIONS, dict(zip(names, values, strict=True)))
            groups: list[Group] = []
            later: dict[str, int | float] = {}
            for name, value in zip(names, values, strict=True):
                sessions = unpacked(value) if value is not None else []
                ended = [one for one in sessions if one[1] + self._gap <= closed]
                groups += [Group(one[0], one[1] + self._gap, name.encode(), one[2:]) for one in ended]
                if rest := sessions[len(ended) :]:
                    later[name] = rest[0][1] + self._gap
                    change.set(SESSIONS, {name: packed(rest)})
            gone = [name for name in names if name not in later]
            change.delete(SESSIONS, gone)
            change.forget(gone)
            change.timer(later)
            if not await self._sender.send(self._results.of(groups), change):
                return

    async def _forget_bucket(self) -> None:
        """Remove the bucket of sessions from the timers, if there are none."""
        (due,) = await self._state.ask(Timers())
        if list(due) == [SESSIONS]:
            change = StateChange()
            change.equals(SCALARS, {KEYS: b"0"})
            change.forget([SESSIONS])
            await self._sender.change(change)
