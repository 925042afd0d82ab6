"""
Sink: the protocols of sinks, where records leave a pipeline; each sink is one file next to this one.

Its module has `Options`, `connect(options, *, stage, root)` or a `sender`, and `endpoint(options, *, stage,
root)`, with which `rsq-pipe validate --connect` tests whether it can be written: see
`connectors/endpoint.py`.

Every sink is a `Sink`. What else one may offer follows, each in its own protocol: a sink that has
the members of a protocol is used accordingly, and declares nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

from msgspec import Struct, field

from rsq_pipe.model.batch import Batch

if TYPE_CHECKING:
    from rsq_pipe.connectors.files.held_file import HeldFile


class Written(Struct, frozen=True):
    """
    Hold the result of one batch.

    Args:
        position: The sink's position after it, stored in the same step that acknowledges the batch;
            empty for a sink without positions.
        failures: Place in the batch -> why this record could not be written. Such a record left no trace.
    """

    position: str = ""
    failures: Mapping[int, Exception] = field(default_factory=dict)


class Gather(Struct, frozen=True):
    """
    Define how much a sink wants in one batch.

    Args:
        records: Number of records at which a batch is written.
        seconds: Seconds that its first record waits for the others.
        size: Bytes of the records, as stored in the stream, at which it is written; 0 for no limit.
    """

    records: int
    seconds: float
    size: int = 0


class TargetUnavailableError(Exception):
    """
    The target is unreachable, or cannot serve now: the runner reopens it and repeats the batch.

    Whether the batch was written may be unknown; the sink finds out when it is opened.
    """


class TargetBusyError(TargetUnavailableError):
    """Another process is just opening the target; the runner tries again."""


class FencedError(TargetUnavailableError):
    """Another writer of the target took entries over, and this one has to reopen it; not a fault."""


class Sink(Protocol):
    """
    Write batches somewhere outside. Called from one thread at a time; may block.

    The runner's order is: fence earlier writers, so that none of them can advance the stored position any
    more; `open(stored position)`; then for each batch `write`, then one atomic step that stores the new
    position and acknowledges the batch; if that step is refused, the first two again.

    Attributes:
        guarantee: How often a reader of the target sees each record.
        exclusive: Whether only one writer is allowed at a time; the runner then holds a lease from `open` to
            `close`.
        target: The target, as a user would name it; sinks with the same target share one lease.
    """

    guarantee: ClassVar[Literal["exactly-once", "at-least-once"]]
    exclusive: ClassVar[bool]
    target: str

    def open(
        self, position: str | None, *, fresh: bool = False, still: Callable[[], bool] = lambda: True
    ) -> str:
        """
        Become the writer: undo everything after `position`, so that no uncommitted line remains.

        Args:
            position: The position stored with the last acknowledged batch; None if there is none.
            fresh: The user asked to start over: the contents of the target are replaced.
            still: Asks the server whether no other process has fenced this one since. Call it just before
                anything is undone, while holding the lock that keeps other processes from undoing or
                beginning to write at the same time: after the position of a paused process, another may have
                committed since. May raise StreamError.

        Returns:
            The position from which writing continues; the runner stores it before the first batch if it is
            different.

        Raises:
            SinkError: The target cannot be written, or holds data that this pipeline did not write.
            TargetBusyError: Another process is just opening it.
            TargetUnavailableError: It is unreachable.
        """
        ...

    def write(self, batch: Batch) -> Written:
        """
        Write one batch and make it durable; nothing of it counts until its position is stored.

        Raises:
            SinkError: The target cannot be written: nothing of the batch counts.
            TargetUnavailableError: It is unreachable.
        """
        ...

    def close(self) -> None:
        """Release the target."""
        ...


@runtime_checkable
class PreparingSink(Protocol):
    """
    A sink that states before each `write` what it is about to write.

    That is stored before anything is written, and passed to `open` if the writer dies before the position
    of the `write` is stored.
    """

    def prepare(self, batch: Batch) -> str:
        """Return the position that describes what `write` will do with this batch."""
        ...


@runtime_checkable
class NotifiedSink(Protocol):
    """A sink that is notified when its position is stored."""

    def stored(self) -> None:
        """Note that the position of the last `write` is stored. Called from the event loop."""
        ...


@runtime_checkable
class RowSink(Protocol):
    """A sink that accepts batches whose records may be `RowRecords` rather than a list."""

    @property
    def as_rows(self) -> bool:
        """Whether the sink accepts `RowRecords`."""
        ...


@runtime_checkable
class LimitedSink(Protocol):
    """A sink whose batches must not exceed a size."""

    @property
    def most(self) -> int | None:
        """Maximum records of a batch, unless one entry of the stream alone holds more; None for no limit."""
        ...


@runtime_checkable
class GatheringSink(Protocol):
    """A sink that wants large batches: entries stay unacknowledged until written, so that none is lost."""

    @property
    def gather(self) -> Gather | None:
        """How much it wants; None for any amount."""
        ...


@runtime_checkable
class CheckedSink(Protocol):
    """A sink that is asked before anything of the pipeline is deleted for a fresh start."""

    def check_anew(self) -> None:
        """
        Check whether `open` with `fresh` would work, changing nothing; the sink is not used after that.

        Raises:
            SinkError, TargetUnavailableError: The errors of `open`.
        """
        ...


@runtime_checkable
class RepairableSink(Protocol):
    """A sink whose file may differ from its stored position."""

    target: str

    def held(self, position: str) -> HeldFile:
        """Compare the file with a stored position; change nothing."""
        ...


@runtime_checkable
class SharedSink(Protocol):
    """
    A sink that several processes may write at the same time, each with its own position.

    Entries read before an error are not written after it: another process may have them by then.
    """

    @property
    def writers(self) -> int:
        """Maximum number of concurrent writers."""
        ...

    def take(self, shard: int, positions: Mapping[int, str]) -> None:
        """Write as this one of the writers from the next `open` on; `positions` has those of all writers."""
        ...

    def write_again(self, batch: Batch) -> Written:
        """Do the same as `write`, for a batch with an entry that was delivered before, perhaps elsewhere."""
        ...
