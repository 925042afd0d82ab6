"""Observer: what the runner tells of its work to whoever traces and measures it. These look away."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Outcomes
from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.settlement import Output
from rsq_pipe.telemetry.health import Health


@dataclass(frozen=True, slots=True)
class StageGauges:
    """
    State what one stage of the whole pipeline holds, whichever processes work on it.

    Args:
        lag: Records not yet delivered to it; None where the server cannot tell.
        pending: Entries delivered and not settled.
        retry: Records waiting for their next attempt.
        dead: Dead letters.
        counters: `in`, `out`, `dropped`, `stored`, `retried`, `dead`, and `dropped:REASON` for each reason:
            records since the pipeline's first run.
        oldest_pending: Seconds the oldest entry that is not settled has stood in its stream.
        fused_with: The stage above, in whose worker it runs; empty if it has one of its own.
        paused: Seconds since it was paused by its breaker; 0 where it is not.
    """

    lag: int | None
    pending: int
    retry: int
    dead: int
    counters: Mapping[str, int]
    oldest_pending: float = 0.0
    fused_with: str = ""
    paused: float = 0.0


class BatchTrace:
    """
    Follow one batch of one stage: `failing` as needed, then `end`, or `close` where it is abandoned.

    Args:
        batch: The batch.

    Attributes:
        batch: The batch; records that are traced carry the context of their new span in their headers, and
            hand it to whatever becomes of them.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def failing(self, place: int, error: BaseException | str) -> Mapping[str, str]:  # noqa: ARG002
        """
        Take note of a record that failed.

        Returns:
            Its headers beside the record id, with its trace context, a new one if it had none; not to be
            changed in place.
        """
        return self.batch.headers_at(place)

    def end(self, outcomes: Outcomes, fates: Mapping[int, str], lost: Container[int]) -> None:
        """
        Take note of what became of the batch, after the settlement.

        Args:
            outcomes: What the stage made of the records.
            fates: Place -> `retried`, `dead-lettered`, `dropped` or `halted` (it stays pending), of each
                record that failed; a record's fate takes precedence over its outcome.
            lost: Places in the batch's `deliveries` of entries that this worker did not settle; of a batch
                without deliveries, 0 stands for all of it, as it does in its `origins`.
        """

    def close(self) -> None:
        """Take note that the batch was abandoned; idempotent, and nothing to do after `end`."""


class StageObserver:
    """Follow the batches of one stage worker; several may be under way."""

    def begin(self, batch: Batch) -> BatchTrace:
        """Take note of a batch."""
        return BatchTrace(batch)

    def burying(self, stream: str, entry_id: str, deliveries: int, letter: Output) -> Output:  # noqa: ARG002
        """
        Take note of an entry that is dead-lettered before any handler sees it: undecodable, or a killer.

        Returns:
            The dead letter, with the context of the entry's trace, a new one if it had none.
        """
        return letter

    def buried(self, lost: Container[tuple[str, str]]) -> None:
        """
        Take note that the entries which `burying` was told of are settled.

        Args:
            lost: Stream and id of those that this worker did not settle.
        """

    def close(self) -> None:
        """End what is still open: the worker has ended."""


class SourceTrace:
    """
    Follow some records that a source brings, until `settled`.

    Args:
        batch: Those that can be read.
        dead: Dead letters of those that cannot.

    Attributes:
        batch, dead: The same; of the first those that are sampled, and all dead letters, carry the context of
            their trace.
    """

    def __init__(self, batch: Batch, dead: list[Output]) -> None:
        self.batch = batch
        self.dead = dead

    def settled(self, counts: bool) -> None:
        """Take note of how that ended; False where it was given up, or another process brought them."""


class SourceObserver:
    """Follow one source."""

    def enter(self, batch: Batch, dead: list[Output]) -> SourceTrace:
        """
        Take note of records about to enter.

        Args:
            batch: Those that can be read; without deliveries.
            dead: Dead letters of those that cannot.
        """
        return SourceTrace(batch, dead)


class Observer:
    """
    Follow one process of one pipeline.

    Args:
        health: Told of signs of life.
    """

    watches = False
    """Whether anybody looks: if not, nothing is collected for it."""

    def __init__(self, health: Health | None = None) -> None:
        self._health = health

    def stage(self, stage: Stage) -> StageObserver:  # noqa: ARG002
        """Follow a worker of a stage, or the writer of a sink."""
        return StageObserver()

    def source(self, stage: Stage, target: str) -> SourceObserver:  # noqa: ARG002
        """Follow the pump of a source that writes to the stream `target`."""
        return SourceObserver()

    def look(self, stages: Mapping[str, StageGauges]) -> None:
        """Take note of what the pipeline holds, by stage."""

    def turned(self) -> None:
        """Take note that the event loop turns."""
        if self._health is not None:
            self._health.turned()

    def reached(self) -> None:
        """Take note that the groups are made and the server answered."""
        if self._health is not None:
            self._health.reached()

    def close(self) -> None:
        """Hand over what was noted; takes two seconds at most. Idempotent."""


def headers_of(fields: Sequence[str | bytes]) -> dict[str, str]:
    """Read an output's headers back; `data` is left out."""
    pairs = zip(fields[::2], fields[1::2], strict=True)
    texts = ((_text(name), value) for name, value in pairs)
    return {name: _text(value) for name, value in texts if name != "data"}


def _text(value: str | bytes) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
