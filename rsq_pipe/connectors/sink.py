"""
Sink: where records leave a pipeline; each sink is one file beside this one.

Its module has `Options`, `connect(options, *, stage, root)` or a `sender`, and `endpoint(options, *, stage,
root)`, by which `rsq-pipe validate --connect` tries whether it can be written: see `connectors/endpoint.py`.

Every sink is a `Sink`. What else one may offer stands below it, each in a protocol of its own: a sink that
has what a protocol names is used so, and declares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from rsq_pipe.model.batch import Batch

if TYPE_CHECKING:
    from rsq_pipe.connectors.files.held_file import HeldFile


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


@runtime_checkable
class PreparingSink(Protocol):
    """
    A sink that says before each `write` what it is about to write.

    That is stored before anything is written, and is what `open` is given where the writer dies before the
    position of the `write` is stored.
    """

    def prepare(self, batch: Batch) -> str:
        """Give the position that says what `write` will do with this batch."""
        ...


@runtime_checkable
class NotifiedSink(Protocol):
    """A sink that is told what counts."""

    def stored(self) -> None:
        """Take note that the position of the last `write` is stored. Called from the event loop."""
        ...


@runtime_checkable
class RowSink(Protocol):
    """A sink that takes batches whose records may be `RowRecords`, and no list."""

    @property
    def as_rows(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class LimitedSink(Protocol):
    """A sink whose batches are not to pass a size."""

    @property
    def most(self) -> int | None:
        """Records of a batch, at most, but where one entry of the stream alone holds more; None for any."""
        ...


@runtime_checkable
class GatheringSink(Protocol):
    """A sink that wants much at once: until it is written it stays unacknowledged, so that none is lost."""

    @property
    def gather(self) -> Gather | None:
        """How much it wants; None for as much as is there."""
        ...


@runtime_checkable
class CheckedSink(Protocol):
    """A sink that is asked before anything of the pipeline is deleted for a user who starts over."""

    def check_anew(self) -> None:
        """
        Find out whether `open` with `fresh` would work, and change nothing; the sink is used no further.

        Raises:
            SinkError, TargetUnavailableError: What `open` would raise.
        """
        ...


@runtime_checkable
class RepairableSink(Protocol):
    """A sink of a file that may have become another than the stored position tells of."""

    target: str

    def held(self, position: str) -> HeldFile:
        """Compare the file with a stored position; changes nothing."""
        ...


@runtime_checkable
class SharedSink(Protocol):
    """
    A sink that several processes may write at a time, each with a position of its own.

    What was read before an error is not written after it: another may have it by then.
    """

    @property
    def writers(self) -> int:
        """How many may write at a time."""
        ...

    def take(self, shard: int, positions: Mapping[int, str]) -> None:
        """Write as this one of the writers from the next `open` on; these are the positions of all."""
        ...

    def write_again(self, batch: Batch) -> Written:
        """Write as `write` does, but a batch of which an entry was handed out before, maybe to another."""
        ...
