"""A stage that aggregates, for the tests of `aggregate`."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rsq_pipe.model.batch import Batch
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.aggregate import Aggregation
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.aggregate import Aggregate
from rsq_pipe.verbs.windows.results import Results
from tests.unit.verbs.given import batch, each

STORED = "stored"


class Stateful:
    """A stage, what it remembers, and what it makes of that."""

    def __init__(self, stage: Stage) -> None:
        assert isinstance(stage.options, Aggregation)
        self.state = StateInMemory(clock=lambda: 1_000)
        self.verb = Aggregate(stage, "p", self.state)
        self._results = Results(stage.name, stage.options)

    async def take(self, of: Batch) -> list[Any]:
        """What becomes of each record; what is stored is `STORED`."""
        found = await self.verb.process(of)
        if found.state is not None:
            assert not self.state.settle(found.state)
        gone = dict.fromkeys(found.stored, STORED)
        told = each(of, replace(found, stored=(), done=list(found.stored)))
        return [gone.get(place, told[place]) for place in range(len(of))]

    async def put(self, *records: Any) -> list[Any]:
        return await self.take(batch(*records))

    async def results(self) -> list[dict[str, Any]]:
        """The results of all windows, in order of time and group."""
        found: list[dict[str, Any]] = []
        for bucket in sorted(self.state.timers, key=int):
            of = self._batch(bucket)
            out = (await self._results.process(of)).emitted
            found += out[""].records if out else []
        return found

    def rids(self) -> list[str]:
        return [rid for bucket in sorted(self.state.timers, key=int) for rid in self._batch(bucket).rids]

    def _batch(self, bucket: str) -> Batch:
        return self._results.batch(int(bucket), sorted(self.state.hashes[bucket].items()))


async def one(stage: Stateful, *records: Any) -> dict[str, Any]:
    assert await stage.put(*records) == [STORED] * len(records)
    (found,) = await stage.results()
    return found


FLIGHTS = "{by: [carrier], every: 1h, on: at, compute: {n: count(), late: sum(delay), avg: avg(delay)}}"
