"""A join whose state is in memory, for the tests of `join`."""

from __future__ import annotations

from typing import Any

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.delivery import Delivery
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.record_key import RecordKey
from rsq_pipe.spec.stages.join import Joining
from rsq_pipe.streams.serializers import JsonSerializer
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.join import Join
from rsq_pipe.verbs.windows.pairing import Shape
from rsq_pipe.verbs.windows.unmatched import Unmatched

HOUR = 3_600_000


class Remembered(StateInMemory):
    """A state whose clock stands still."""

    def __init__(self, now: int) -> None:
        super().__init__(lambda: self.now)
        self.now = now


def joining(kind: Any = "inner", on: str = "id", *, name: str = "", within: float | None = 3600.0) -> Joining:
    key = RecordKey(on, ((on,),))
    return Joining(key, key, name, "payment", within, kind)


def verb(state: Remembered, of: Joining | None = None, *ports: str) -> Join:
    return Join(
        "paid",
        of or joining(),
        state,
        streams={"orders": 0, "payments": 1},
        ports=ports,
        form=JsonSerializer(),
    )


def batch(*records: tuple[str, dict[str, Any]], first: int = 0) -> Batch:
    """Records, each with the stream it came by."""
    deliveries = [Delivery(stream, f"{first + at}-0", 1) for at, (stream, _) in enumerate(records)]
    rids = [f"{stream}:{first + at}" for at, (stream, _) in enumerate(records)]
    return Batch([record for _, record in records], rids, deliveries=deliveries)


async def settled(join: Join, state: Remembered, of: Batch) -> Outcomes:
    """What becomes of a batch: processed until its change of the state holds."""
    while True:
        found = await join.process(of)
        if found.state is None or state.settle(found.state) != "stale":
            return found


def alone(state: Remembered, bucket: str, of: Joining | None = None, *ports: str) -> tuple[Unmatched, Batch]:
    """What in a bucket has found no other."""
    verb = Unmatched(Shape("paid", of or joining(), ports), JsonSerializer())
    return verb, verb.batch(int(bucket), sorted(state.hashes[bucket].items()))


def pairs(found: Outcomes) -> list[str]:
    return [*found.emitted[""].rids] if "" in found.emitted else []


ORDER, PAYMENT = ("orders", {"id": 1, "total": 5}), ("payments", {"id": 1, "paid": 5})
