"""ConsumerConfig: every setting of a StreamConsumer."""

from __future__ import annotations

from dataclasses import dataclass, field

from rsq_pipe.streams.settlement import MAX_ENTRIES
from rsq_pipe.streams.worker import worker_name

_NEVER_KEPT_MS = 10_000


@dataclass(frozen=True, slots=True)
class ConsumerConfig:
    """
    Configure a consumer; durations in milliseconds.

    Args:
        group: The consumer group.
        worker_name: The consumer's name, unique per process start; if left out, made from group, host and
            process.
        dlq_stream: Where records that failed for good are written, in the step that acknowledges them.
        dlq_group: A group to create on `dlq_stream`, so that nothing in it is missed.
        batch_size: How many records one handler call gets at most.
        block_ms: How long a read waits for a first record; 0 returns at once.
        min_idle_claim_ms: A consumer's entries are taken over after this long without a sign of life. Entries
            that a handler holds are kept alive three times as often, so handlers may take longer. With 0
            every pending entry may be taken over at once, even one in flight: only for a consumer that
            is alone.
        max_deliveries: How often an entry is delivered before it is dead-lettered instead. With 1, a record
            that kills its worker takes its batch with it: only a second delivery can be made alone.
        max_stream_size: Trim acknowledged entries while the stream holds more than this; None leaves trimming
            to others.
        max_claim_passes: Calls of XAUTOCLAIM in one turn of the reclaim, each for at most 100 entries; None
            for 1.
        batch_wait_ms: How long a batch that is not full waits for more.
        start_id: Where a new group begins: "0" for the start of the stream, "$" for entries added later.
        halt_on_fault: Whether `run` raises errors that waiting does not help with (a lost group, a wrong type
            of key), rather than logging them and continuing; a lost group is then not recreated.
        create_groups: Whether to create groups that do not exist; False if something else creates them, so
            that a missing one has been lost.
    """

    group: str
    worker_name: str = ""
    dlq_stream: str | None = None
    dlq_group: str | None = None
    batch_size: int = 100
    block_ms: int = 5_000
    min_idle_claim_ms: int = 10_000
    max_deliveries: int = 3
    max_stream_size: int | None = None
    max_claim_passes: int | None = None
    batch_wait_ms: int = 0
    start_id: str = "0"
    halt_on_fault: bool = False
    create_groups: bool = True
    heartbeat_ms: int = field(init=False)

    def __post_init__(self) -> None:
        if not 1 <= self.batch_size <= MAX_ENTRIES:
            raise ValueError(f"batch_size is {self.batch_size}; it must be from 1 to {MAX_ENTRIES}")
        for name in ("block_ms", "batch_wait_ms", "min_idle_claim_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.max_deliveries < 1:
            raise ValueError(f"max_deliveries is {self.max_deliveries}; it must be at least 1")
        if not self.worker_name:
            object.__setattr__(self, "worker_name", worker_name(self.group))
        idle = self.min_idle_claim_ms or _NEVER_KEPT_MS  # without a heartbeat there is no hurry
        object.__setattr__(self, "heartbeat_ms", max(1, idle // 3))
