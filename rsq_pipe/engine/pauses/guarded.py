"""GuardedChain: a chain whose worker pauses if calls of one of its stages fail in a row."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from rsq_pipe.engine.chain import Chain, Step
from rsq_pipe.engine.pauses.breaker import Breaker, cause_of
from rsq_pipe.engine.pauses.pauses import Pauses
from rsq_pipe.engine.pauses.uncounted_deliveries import UncountedDeliveries
from rsq_pipe.errors import HandlerError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, NotCalled, Outcomes, Reject, Retry
from rsq_pipe.streams.in_flight import Isolation
from rsq_pipe.verbs.verb import WaitingVerb


class GuardedChain:
    """
    Pass batches through a chain while not all breakers of its stages are calm.

    While one is open, the batch waits, and after each pause one of its records goes through the chain. Once
    one has been handled, the others follow. While all are calm the worker does not need this: its batch goes
    straight through the chain, and the breakers are updated afterwards.

    Args:
        chain: The chain.
        pauses: The breakers, which the workers of the process share.
        isolation: Notified that nothing of the batch is being handled during a pause.
        uncounted: Takes back the delivery counts of entries during a pause.
    """

    def __init__(
        self, chain: Chain, pauses: Pauses, isolation: Isolation, uncounted: UncountedDeliveries
    ) -> None:
        self._chain = chain
        self._pauses = pauses
        self._isolation = isolation
        self._uncounted = uncounted
        self._breakers = {
            link.stage.name: breaker
            for link in chain.links()
            if not link.verb.pure and (breaker := pauses.of(link.stage)) is not None
        }
        self.breakers = tuple(self._breakers.values())
        """Those of the chain's stages."""
        for link in chain.links():
            if isinstance(link.verb, WaitingVerb):
                pauses.watch(link.stage.name, link.verb.waits)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the pause, and begin no other."""
        self._stopping.set()

    async def process(self, batch: Batch) -> list[Step]:
        """
        Pass a batch through the chain, after a pause if there is one.

        Returns:
            What the stages made of it. If it is stopped during a pause, the records in flight are left to
                the next run one by one: left pending, they would seem to kill a worker with each run that
                stops.

        Raises:
            HandlerError: A stage cannot go on; no record is to blame.

        Cancellation: like the chain's.
        """
        if self._paused_stage() is None:
            steps = await self._chain.process(batch)
            self.update_breakers(steps)
            return steps
        steps = []
        try:
            places = await self._try_one_by_one(batch, steps)
            await self._uncounted.recount(batch.deliveries, self._stopping)
            if places and (name := self._paused_stage()) is not None:
                self._add(steps, [self._leave(batch.only(places), self._breakers[name])])
            elif places:
                self._add(steps, await self._chain.process(batch.only(places)))
        except BaseException:
            _close(steps)
            await self._uncounted.recount_all()
            raise
        return steps

    def update_breakers(self, steps: Sequence[Step]) -> None:
        """Update the breakers with the outcomes of a batch."""
        for step in steps:
            self._update_breaker(step)

    async def _try_one_by_one(self, batch: Batch, steps: list[Step]) -> list[int]:
        """
        Try records of a batch one by one until no breaker is open, or it is stopped.

        Args:
            batch: The batch.
            steps: Filled with the results of those that were handled.

        Returns:
            The places of the records left to handle.
        """
        places = list(range(len(batch)))
        while places and (name := self._paused_stage()) is not None and not self._stopping.is_set():
            breaker = self._breakers[name]
            seconds = breaker.wait()
            if seconds > 0:
                await self._uncounted.uncount(batch.deliveries)
                async with self._isolation.suspended():
                    await self._pauses.wait(seconds, self._stopping)
                continue
            place = places.pop(0)
            if (delivery := batch.delivery_at(place)) is not None:
                await self._uncounted.recount([delivery], self._stopping)
            results = await self._try_record(name, breaker, batch.only([place]))
            if results:
                self._add(steps, results)
            else:
                places.append(place)  # the next one tried is another: this one may be to blame
        return sorted(places)

    def _paused_stage(self) -> str | None:
        """Name the first stage whose breaker is open; None if the chain may be called."""
        return next((name for name, breaker in self._breakers.items() if breaker.is_open), None)

    async def _try_record(self, name: str, breaker: Breaker, record: Batch) -> list[Step]:
        """
        Pass one record through the chain, and tell the breaker of the stage that pauses what became of it.

        Args:
            name: The stage that pauses.
            breaker: Its breaker.
            record: A batch of one record.

        Returns:
            What the stages made of it; nothing if the stage failed again: then it must be tried once more.
        """
        try:
            steps = await self._chain.process(record)
        except BaseException:
            breaker.trial_abandoned()
            raise
        step = next((step for step in steps if step.link.stage.name == name), None)
        if step is None:  # it did not get that far
            breaker.trial_abandoned()
            return steps
        failed = step.outcomes.failed
        # A batch of one record may be several here: a stage above may have exploded it.
        if any(not _is_failure(step, place) for place in range(len(step.batch))):
            breaker.trial_succeeded()
            self._pauses.report(name)
            return steps
        cause = next((cause for outcome in failed.values() if (cause := cause_of(outcome))), None)
        if cause is None:
            breaker.trial_abandoned()
            return steps
        breaker.trial_failed(cause.text, cause.pause)
        self._pauses.report(name)
        _close(steps)
        return []

    def _leave(self, batch: Batch, breaker: Breaker) -> Step:
        """Leave records to the next run, before the first stage has handled them."""
        link = self._chain.first
        trace = link.observer.begin(batch)
        why = HandlerError(
            f"not handled yet: the run ended during a pause, {breaker.why}", stage=link.stage.name
        )
        failed: dict[int, Failure | Retry | Reject] = dict.fromkeys(range(len(batch)), NotCalled(why))
        return Step(link, trace.batch, trace, Outcomes(failed=failed), excused=dict.fromkeys(failed, 0))

    def _add(self, steps: list[Step], results: Sequence[Step]) -> None:
        """Add the results of a part of the batch, as one part of its own."""
        part = 1 + max((step.part for step in steps), default=0)
        for step in results:
            step.part = part
            self._update_breaker(step)
        steps += results

    def _update_breaker(self, step: Step) -> None:
        """Update a stage's breaker with the outcomes of its records."""
        name = step.link.stage.name
        breaker = self._breakers.get(name)
        if breaker is None or step.excused or (not step.outcomes.failed and breaker.is_calm):
            return
        was_open = breaker.is_open
        failures = [place for place in step.outcomes.failed if _is_failure(step, place)]
        causes = {place: cause_of(step.outcomes.failed[place]) for place in failures}
        excused = breaker.note(step.batch.rids, causes)
        if excused:
            step.excused = {place: round(breaker.again_in(causes[place]) * 1000) for place in excused}
        if breaker.is_open and not was_open:
            self._pauses.report(name)


def _is_failure(step: Step, place: int) -> bool:
    """Return whether the call for a record failed; a rejected record was handled."""
    outcome = step.outcomes.failed.get(place)
    return outcome is not None and not isinstance(outcome, Reject)


def _close(steps: Iterable[Step]) -> None:
    for step in steps:
        step.trace.close()
