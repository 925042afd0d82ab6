"""
Sink: where records leave a pipeline; each sink is one file beside this one.

Its module has `Options`, `connect(options, *, stage, root)` or a `sender`, and `endpoint(options, *, stage,
root)`, by which `rsq-pipe validate --connect` tries whether it can be written: see `connectors/endpoint.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from rsq_pipe.model.batch import Batch


@dataclass(frozen=True, slots=True)
class Written:
    """
    State what became of one batch.

    Args:
        position: The sink's position after it, stored in the same step that acknowledges the batch;
            empty for a sink without positions.
        failures: Place in the batch -> why this record could not be written. Such a record left no trace.
    """

    position: str = ""
    failures: Mapping[int, Exception] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gather:
    """
    Say how much a sink wants to have in one batch.

    Args:
        records: Records at which a batch is written.
        seconds: How long its first record waits for the others.
        size: Bytes of the records, as they stand in the stream, at which it is written; 0 for any.
    """

    records: int
    seconds: float
    size: int = 0


class TargetUnavailableError(Exception):
    """
    The target is away, or cannot now: the runner opens it and writes the batch again, until that works.

    Whether the batch was written may be unknown; the sink finds out as it is opened.
    """


class TargetBusyError(TargetUnavailableError):
    """Another process is opening the target at this moment; the runner asks again."""


class FencedError(TargetUnavailableError):
    """Another writer of the target took entries over, and this one has to open it anew; no fault."""


class Sink(Protocol):
    """
    Write batches somewhere outside. Called from one thread at a time; may block.

    The runner's order is: fence off earlier writers, so that none of them can move the stored position any
    more; `open(position stored)`; then per batch `write`, then one atomic step that stores the new position
    and acknowledges the batch; where that step is refused, the first two again.

    guarantee: What a reader of the target sees of each record.
    exclusive: Whether there may be one writer at a time; the runner then holds a lease around open..close.
    target: What the sink writes to, as a user would name it; sinks with one target share one lease.

    A sink that has a method `stored()` is told when the position of the last `write` is stored.

    A sink that has a method `prepare(batch)` is asked before each `write` for a position that says what is
    about to be written. It is stored before anything is written, and is what `open` is given where the writer
    dies before the position of the `write` is stored.

    A sink that has an attribute `most` that is not None is given batches of no more records, but where one
    entry of the stream alone holds more.

    A sink that has a method `check_anew()` is asked before anything of the pipeline is deleted for a user who
    starts over: it raises what `open` with `fresh` would raise, changes nothing that is there, and is used no
    further.

    A sink that has an attribute `gather` is given batches of that size. Until they are written they stay
    unacknowledged, so that nothing of them is lost with the process.

    A sink that has an attribute `writers` lets so many processes write at a time, each with a position of its
    own: `take(shard, positions)` tells it before `open` which one it is, and the positions of all. A batch of
    which an entry was handed out before is written by `write_again(batch)`. What was read before an
    error is not written after it.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]]
    exclusive: ClassVar[bool]
    target: str

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """
        Become the writer: undo whatever stands behind `position`, so that no uncommitted line remains.

        Args:
            position: What was stored with the last acknowledged batch; None if nothing ever was.
            fresh: The user asked to start over: what stands in the target is replaced.
            still: Asks the server whether this process still is the last that fenced the others off. To be
                asked just before anything is undone, with whatever keeps other processes from undoing or
                beginning to write at the same time: behind the position of one that was paused, another may
                have committed since. May raise StreamError.

        Returns:
            The position writing goes on from; the runner stores it before the first batch if it is another.

        Raises:
            SinkError: The target cannot be written, or holds what this pipeline did not write.
            TargetBusyError: Another process is just opening it.
            TargetUnavailableError: It is away.
        """
        ...

    def write(self, batch: Batch) -> Written:
        """
        Write one batch and make it durable; nothing of it counts until its position is stored.

        Raises:
            SinkError: The target cannot be written: nothing of the batch counts.
            TargetUnavailableError: It is away.
        """
        ...

    def close(self) -> None:
        """Let go of the target."""
        ...
