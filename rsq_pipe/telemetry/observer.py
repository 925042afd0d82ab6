"""Observer: the runner's reports for tracing and metrics. These classes ignore them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from msgspec import Struct

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.health import Health


class StageGauges(Struct, frozen=True):
    """
    Describe what one stage of the whole pipeline holds, over all processes.

    Args:
        lag: Records not yet delivered to it; None if the server cannot tell.
        pending: Entries delivered but not settled.
        retry: Records waiting for their next attempt.
        dead: Dead letters.
        counters: `in`, `out`, `dropped`, `stored`, `retried`, `dead`, and `dropped:REASON` for each reason:
            records since the pipeline's first run.
        oldest_pending: Seconds since the oldest delivered, unsettled entry was written to its stream.
        oldest: The same of the oldest unsettled entry, delivered or not.
        fused_with: The stage above in whose worker it runs; empty if it has its own worker.
        paused: Seconds since its breaker paused it; 0 if it is not paused.
    """

    lag: int | None
    pending: int
    retry: int
    dead: int
    counters: Mapping[str, int]
    oldest_pending: float = 0.0
    oldest: float = 0.0
    fused_with: str = ""
    paused: float = 0.0


class BatchTrace:
    """
    Follow one batch of one stage: `failing` as needed, then `end`, or `close` if it is abandoned.

    Args:
        batch: The batch.

    Attributes:
        batch: The batch; traced records have the context of their new span in their headers, and pass it on
            to the records made from them.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:  # noqa: ARG002
        """
        Note that a record failed.

        Returns:
            Its headers other than the record id, with its trace context, a new one if it had none; do not
            change them in place.
        """
        return self.batch.headers_at(place)

    def end(self, outcomes: Outcomes, dispositions: Mapping[int, str], lost: Container[int]) -> None:
        """
        Note the results of the batch, after the settlement.

        Args:
            outcomes: The stage's results for the records.
            dispositions: Place of each failed record -> `retried`, `uncalled` (a stop came before its turn),
                `dead-lettered`, `dropped` or `halted` (it stays pending); takes precedence over the outcome.
            lost: Places in the batch's `deliveries` of entries that this worker did not settle; for a batch
                without deliveries, 0 means all of it, as in its `origins`.
        """

    def close(self) -> None:
        """Note that the batch was abandoned; idempotent, and does nothing after `end`."""


class StageObserver:
    """Follow the batches of one stage worker; several may be in flight."""

    def begin(self, batch: Batch) -> BatchTrace:
        """Note that a batch begins."""
        return BatchTrace(batch)

    def dead_letter(self, stream: str, entry_id: str, deliveries: int, letter: Output) -> Output:  # noqa: ARG002
        """
        Note an entry that is dead-lettered before any handler sees it: undecodable, or it kills its worker.

        Returns:
            The dead letter, with the context of the entry's trace, a new one if it had none.
        """
        return letter

    def dead_letters_settled(self, lost: Container[tuple[str, str]]) -> None:
        """
        Note that the entries passed to `dead_letter` are settled.

        Args:
            lost: Stream and id of those that this worker did not settle.
        """

    def close(self) -> None:
        """End everything still open: the worker has ended."""


class SourceTrace:
    """
    Follow some of the records that a source reads, until `settled`.

    Args:
        batch: The records that can be read.
        dead: Dead letters of those that cannot.

    Attributes:
        batch, dead: The same; the sampled records of `batch`, and all dead letters, carry the context of
            their trace.
    """

    def __init__(self, batch: Batch, dead: list[Output]) -> None:
        self.batch = batch
        self.dead = dead

    def settled(self, counts: bool) -> None:
        """Note the result; False if it was given up, or another process has read the records."""


class SourceObserver:
    """Follow one source."""

    def enter(self, batch: Batch, dead: list[Output]) -> SourceTrace:
        """
        Note the records that are about to enter.

        Args:
            batch: The records that can be read; without deliveries.
            dead: Dead letters of those that cannot.
        """
        return SourceTrace(batch, dead)


class Observer:
    """
    Follow one process of one pipeline.

    Args:
        health: Notified of signs of life.
    """

    watches = False
    """Whether anything is collected."""

    def __init__(self, health: Health | None = None) -> None:
        self._health = health

    def stage(self, stage: Stage) -> StageObserver:  # noqa: ARG002
        """Follow a worker of a stage, or the writer of a sink."""
        return StageObserver()

    def source(self, stage: Stage, target: str) -> SourceObserver:  # noqa: ARG002
        """Follow the worker of a source that writes to the stream `target`."""
        return SourceObserver()

    def set_gauges(self, stages: Mapping[str, StageGauges]) -> None:
        """Note what each stage of the pipeline holds."""

    def turned(self) -> None:
        """Note that the event loop is running."""
        if self._health is not None:
            self._health.turned()

    def reached(self) -> None:
        """Note that the groups are created and the server has answered."""
        if self._health is not None:
            self._health.reached()

    def lost(self, why: str) -> None:
        """Note that the server did not answer, or refused, and why."""
        if self._health is not None:
            self._health.lost(why)

    def close(self) -> None:
        """Export what was noted; takes two seconds at most. Idempotent."""


def headers_of(fields: Sequence[str | bytes]) -> dict[str, str]:
    """Return an output's headers; `data` is left out."""
    pairs = zip(fields[::2], fields[1::2], strict=True)
    texts = ((_text(name), value) for name, value in pairs)
    return {name: _text(value) for name, value in texts if name != "data"}


def _text(value: str | bytes) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
