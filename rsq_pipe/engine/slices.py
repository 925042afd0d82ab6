"""Slices: a batch handed to a verb in parts, where it is more than that may have at once."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from rsq_pipe.engine.call_times import CallTimes
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Outcomes
from rsq_pipe.spec.fusing import has_state
from rsq_pipe.spec.graph import Stage
from rsq_pipe.verbs.verb import Verb

if TYPE_CHECKING:
    pass

AT_A_TIME = 0.02
"""Seconds that a pure verb computes before the event loop gets its turn: heartbeats, reads, other stages."""

_UNKNOWN = 100
"""Records of the first slice, when it is not known how long one takes."""


class Slices:
    """
    Call the verbs of one chain; learns how long each takes for a record.

    Args:
        times: Told how long each call takes.
    """

    def __init__(self, times: CallTimes | None = None) -> None:
        self._pace: dict[str, float] = {}
        self._times = times

    async def handled(self, stage: Stage, verb: Verb, batch: Batch) -> Outcomes:
        """
        Have a verb handle a batch.

        User code gets no more of it in one call than `batch.size`; pure verbs, which compute on the event
        loop, no more than takes a moment. A stage with state gets all of it: it decides once, by one state.
        """
        if has_state(stage):
            return await self._timed(stage.name, verb, batch)
        size = self._bearable(stage.name) if verb.pure else stage.batch_size
        if len(batch) <= size:
            return await self._timed(stage.name, verb, batch)
        whole = Outcomes(done=[])
        for start, part in batch.slices(size):
            _add(whole, await self._timed(stage.name, verb, part), start)
            await asyncio.sleep(0)
        return whole

    async def _timed(self, name: str, verb: Verb, batch: Batch) -> Outcomes:
        began = monotonic()
        outcomes = await verb.process(batch)
        seconds = monotonic() - began
        if self._times is not None:
            self._times.note(name, seconds)
        if verb.pure and len(batch):
            # Much is believed at once, little only little by little.
            self._pace[name] = max(seconds / len(batch), self._pace.get(name, 0.0) / 2)
        return outcomes

    def _bearable(self, name: str) -> int:
        pace = self._pace.get(name)
        return _UNKNOWN if pace is None else max(1, int(AT_A_TIME / max(pace, 1e-9)))


def _add(whole: Outcomes, part: Outcomes, start: int) -> None:
    for port, emitted in part.emitted.items():
        into = whole.emitted.setdefault(port, Emitted(headers={}))
        at = len(into)
        into.records += emitted.records
        into.rids += emitted.rids
        into.sources = [*into.sources, *(start + source for source in emitted.sources)]
        into.headers = {**into.headers, **{at + place: some for place, some in emitted.headers.items()}}
    for reason, places in part.dropped.items():
        whole.dropped.setdefault(reason, []).extend(start + place for place in places)
    whole.failed |= {start + place: why for place, why in part.failed.items()}
    for key, places in part.unknown.items():
        whole.unknown.setdefault(key, []).extend(start + place for place in places)
    whole.done = [*whole.done, *(start + place for place in part.done)]
