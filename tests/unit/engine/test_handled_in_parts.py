"""How a batch is handed to a verb in parts."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar

from rsq_pipe.engine.chain import AT_A_TIME, Chain, Link
from rsq_pipe.engine.packing import Port
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Emitted, Outcomes
from rsq_pipe.model.pack import JsonPacks
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.verbs.verb import Verb
from tests.unit.engine.stages import stage

PAUSE = AT_A_TIME / 20


class Heavy:
    """A pure verb that computes for long."""

    pure: ClassVar[bool] = True
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def process(self, batch: Batch) -> Outcomes:
        self.sizes.append(len(batch))
        time.sleep(PAUSE * len(batch))  # noqa: ASYNC251  that is what it is for
        return Outcomes({"": Emitted(list(batch.records), list(batch.rids), range(len(batch)))})


class Quick(Heavy):
    """One that does nothing."""

    async def process(self, batch: Batch) -> Outcomes:
        self.sizes.append(len(batch))
        return Outcomes({"": Emitted(batch.records, batch.rids, range(len(batch)))})


def chain_of(verb: Verb) -> Chain:
    ports = {"": Port("{orders}:price", JsonSerializer(), JsonPacks())}
    return Chain(Link(stage(), verb, StageObserver(), ports), JsonSerializer())


def batch_of(count: int) -> Batch:
    return Batch([{"n": n} for n in range(count)], [f"r:{n}" for n in range(count)])


async def test_a_verb_that_computes_for_long_lets_the_event_loop_turn_in_between() -> None:
    turns = 0

    async def beat() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    verb = Heavy()
    chain = chain_of(verb)
    beside = asyncio.ensure_future(beat())

    await chain.process(batch_of(1))
    before = turns
    [step] = await chain.process(batch_of(100))
    beside.cancel()
    outcomes = step.outcomes

    assert outcomes.emitted[""].records == [{"n": n} for n in range(100)]
    assert list(outcomes.emitted[""].sources) == list(range(100))
    assert turns - before >= 5
    assert max(verb.sizes) <= 20


async def test_a_verb_that_is_quick_gets_the_batch_as_it_is() -> None:
    verb = Quick()
    chain = chain_of(verb)

    await chain.process(batch_of(50))
    await chain.process(batch_of(500))

    assert verb.sizes == [50, 500]


async def test_a_verb_whose_speed_is_not_known_gets_more_as_soon_as_it_is_seen_to_be_quick() -> None:
    verb = Quick()

    [step] = await chain_of(verb).process(batch_of(1_000))

    assert verb.sizes == [100, 900]
    assert [record["n"] for record in step.outcomes.emitted[""].records] == list(range(1_000))
