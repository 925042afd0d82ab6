"""Plan: what becomes of a batch, before it is settled."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field

import msgspec

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.packing import Unpacked
from rsq_pipe.model.batch import Batch
from rsq_pipe.streams.settlement import Output, RetryAt, Settlement


@dataclass(slots=True)
class Work:
    """
    Hold one processed batch, or some of its deliveries.

    Args:
        unpacked: The entries read.
        steps: The results of the chain's stages.
        dead_letters: Place of a delivery whose records could not be processed -> its dead letter.
        singles: Place of a redelivered pack -> the entries that it is split into.
        some: The places of the deliveries it covers; None for all.

    Attributes:
        portion: The places of the deliveries it covers.
    """

    unpacked: Unpacked
    steps: Sequence[Step] = ()
    dead_letters: Mapping[int, Output] = field(default_factory=dict)
    singles: Mapping[int, Sequence[Output]] = field(default_factory=dict)
    some: InitVar[frozenset[int] | None] = None
    portion: frozenset[int] = field(init=False)

    def __post_init__(self, some: frozenset[int] | None) -> None:
        self.portion = frozenset(range(len(self.unpacked.batch.deliveries))) if some is None else some

    @property
    def changes_state(self) -> bool:
        """Whether it changes a stage's state: then it is settled as a whole, or processed again."""
        return any(step.outcomes.state is not None for step in self.steps)

    @property
    def state_size(self) -> int:
        """Approximate bytes that it writes to a stage's state."""
        return sum(step.outcomes.state.size for step in self.steps if step.outcomes.state is not None)

    def left(self, portion: frozenset[int]) -> Batch:
        """Return the records of some of its deliveries, to be processed again."""
        batch = self.unpacked.batch
        return batch.only([place for place, origin in enumerate(batch.origins) if origin in portion])

    def again(self, steps: Sequence[Step], portion: frozenset[int]) -> Work:
        """Return the work on some of its deliveries, with the results of processing them again."""
        return Work(self.unpacked, steps, self.dead_letters, self.singles, portion)

    def places(self, gone: Collection[tuple[str, str]]) -> frozenset[int]:
        """Find the places of deliveries by their streams and ids."""
        deliveries = enumerate(self.unpacked.batch.deliveries)
        return frozenset(place for place, one in deliveries if (one.stream, one.id) in gone)

    def sizes_beside(self) -> Iterator[tuple[int, int]]:
        """Yield the bytes of retries, dead letters and singles for each delivery, as (place, bytes)."""
        for step in self.steps:
            for place in step.outcomes.failed:
                yield step.batch.origins[place], len(step.batch.original(place))
        for place, singles in self.singles.items():
            yield place, size_of(singles)
        for place, dead_letter in self.dead_letters.items():
            yield place, size_of([dead_letter])

    def weights(self) -> list[tuple[int, int]]:
        """Return for each delivery how many records a settlement writes for it, and about how many bytes."""
        count, state_size = len(self.unpacked.batch.deliveries), self.state_size
        records, sizes = [0] * count, [0.0] * count
        for step in self.steps:
            origins = step.batch.origins
            for port, written in step.written.items():
                sources = step.outcomes.emitted[port].sources
                for source in sources:
                    records[origins[source]] += 1
                    sizes[origins[source]] += written.size / len(sources)
            for place in step.outcomes.failed:
                records[origins[place]] += 1
            for place in step.outcomes.stored:
                records[origins[place]] += 1
                sizes[origins[place]] += state_size / len(step.outcomes.stored)
        for place, singles in self.singles.items():
            records[place] += len(singles)
        for place, size in self.sizes_beside():
            sizes[place] += size
        return [(records[place], round(sizes[place])) for place in range(count)]


def size_of(entries: Sequence[Output | RetryAt]) -> int:
    """Return about how many bytes some entries hold."""
    return sum(len(field) for entry in entries for field in entry.fields)


class Failed(msgspec.Struct, frozen=True):
    """
    Describe a record that failed for good, for the log.

    Args:
        stage: The stage that failed it.
        on_error: What becomes of it: `dlq`, `drop` or `stop`, as its stage says; `dlq` if it was rejected.
        rid, headers: The record's.
        error: The cause.
    """

    stage: str
    on_error: str
    rid: str
    headers: Mapping[str, str]
    error: BaseException | str


class Plan(msgspec.Struct):
    """
    Hold a settlement, which is written as a whole or not at all, and its side effects.

    Args:
        settlement: The settlement; without parts if nothing is settled.
        halted: Places of the deliveries that stay pending because a stage stops at one of their records.
        failures: The records that failed for good.
        halt: The error that stops the stage, if `on_error: stop` requires it.
        is_large: Whether it exceeds the limits for a settlement of several entries.
        is_void: Whether nothing is settled until the remaining deliveries have been processed again: the
            state would include the halted ones, too.
    """

    settlement: Settlement
    halted: frozenset[int] = frozenset()
    failures: list[Failed] = msgspec.field(default_factory=list)
    halt: BaseException | None = None
    is_large: bool = False
    is_void: bool = False

    def failures_by_end(self) -> dict[tuple[str, str], list[Failed]]:
        """Group the failures by stage, and by what becomes of them."""
        found: dict[tuple[str, str], list[Failed]] = {}
        for one in self.failures:
            found.setdefault((one.stage, one.on_error), []).append(one)
        return found
