"""Observer: what the runner tells of its work to whoever traces and measures it. These look away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rsq_pipe.spec.graph import Stage
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Entry, Output, Settled, Settlement
from rsq_pipe.telemetry.health import Health


@dataclass(frozen=True, slots=True)
class StageGauges:
    """
    State what one stage of the whole pipeline holds, whichever processes work on it.

    Args:
        lag: Entries not yet delivered to it; None where the server cannot tell.
        pending: Entries delivered and not settled.
        retry: Records waiting for their next attempt.
        dead: Dead letters.
        counters: `in`, `out`, `dropped`, `retried`, `dead`, and `dropped:REASON` for each reason:
            records since the pipeline's first run.
        oldest_pending: Seconds the oldest entry that is not settled has stood in its stream.
    """

    lag: int | None
    pending: int
    retry: int
    dead: int
    counters: Mapping[str, int]
    oldest_pending: float = 0.0


class StageObserver:
    """Follow the batches of one stage worker: `begin`, then `failing` as needed, `decided`, `settled`."""

    def begin(self, messages: list[StreamMessage]) -> list[StreamMessage]:
        """
        Take note of a batch.

        Returns:
            The batch; records that are traced carry the context of their new span in their headers, and
            hand it to whatever becomes of them.
        """
        return messages

    def failing(self, message: StreamMessage, error: BaseException | str) -> StreamMessage:  # noqa: ARG002
        """Take note of a record that failed; return it with its trace context, a new one if it had none."""
        return message

    def burying(self, entry: Entry, letter: Output) -> Output:  # noqa: ARG002
        """
        Take note of an entry that is dead-lettered before any handler sees it: undecodable, or a killer.

        Returns:
            The dead letter, with the context of the entry's trace, a new one if it had none.
        """
        return letter

    def decided(self, settlement: Settlement) -> None:
        """Take note of how the batch is to end."""

    def settled(self, settlement: Settlement, settled: Settled) -> None:
        """Take note of how a settlement ended: that of the batch, or one of an entry that met no handler."""

    def close(self) -> None:
        """End what is still open: the worker has ended."""


class SourceObserver:
    """Follow the chunks of one source: `enter`, then `settled`."""

    def enter(self, outputs: list[Output], dead: list[Output]) -> tuple[list[Output], list[Output]]:
        """
        Take note of records about to enter.

        Args:
            outputs: Those that can be read.
            dead: Dead letters of those that cannot.

        Returns:
            Both; of the first those that are sampled, and all dead letters, carry their trace's context.
        """
        return outputs, dead

    def settled(self, settled: Settled | None) -> None:
        """Take note of how that ended; None: it was given up."""


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
        """Take note that the groundwork is laid and the server answered."""
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
