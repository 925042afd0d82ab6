"""Step: one attempt of one stage at one record; a trace is a list of steps in order of time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, to_builtins

DEAD = "dead-lettered"


class Step(Struct, frozen=True):
    """
    Describe one attempt. Times are seconds since 1970.

    Args:
        stage: The stage.
        rid: The record's id, or that of a child.
        outcome: `emitted`, `dropped`, `stored`, `retried`, `dead-lettered`, `unsettled`; or, if it has not
            ended yet, `waiting`, `in flight`, `to be retried`.
        began: When the handler was called; None if only the end is known.
        ended: When it was settled; None if it was not.
        waited: Seconds the record had waited before; None if unknown.
        attempt: Number of the attempt, from 1; 0 if unknown.
        error: Why it failed.
        trace_id: The trace it belongs to; empty if none.
        note: A remark, such as who has it in flight, or when it is due.
    """

    stage: str
    rid: str
    outcome: str
    began: float | None = None
    ended: float | None = None
    waited: float | None = None
    attempt: int = 0
    error: str = ""
    trace_id: str = ""
    note: str = ""

    @property
    def ran(self) -> float | None:
        """Seconds from the handler's call to the settlement."""
        return None if self.began is None or self.ended is None else self.ended - self.began

    @property
    def at(self) -> float:
        """Its position in time."""
        return self.began or self.ended or 0.0


class RecordTrace(Struct, frozen=True):
    """
    Hold the steps of one record and its children in order of time.

    Args:
        name: The requested id.
        steps: None if nothing is known about the record.
    """

    name: str
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, name: str, steps: Iterable[Step], stages: Iterable[str] = ()) -> RecordTrace:
        """
        Put steps in order.

        Args:
            name: The requested id.
            steps: The known steps.
            stages: In the pipeline's order, which also orders the steps of fused stages, as these end at the
                same moment.
        """
        places = {stage: place for place, stage in enumerate(stages)}
        return cls(name, tuple(sorted(steps, key=lambda step: (step.at, places.get(step.stage, 0)))))

    @property
    def trace_ids(self) -> tuple[str, ...]:
        """The traces it belongs to: one, and another for each replay."""
        return tuple(dict.fromkeys(step.trace_id for step in self.steps if step.trace_id))

    @property
    def span(self) -> tuple[float, float]:
        """When it began and ended, if known."""
        times = [time for step in self.steps for time in (step.began, step.ended) if time]
        return (min(times), max(times)) if times else (0.0, 0.0)

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that show the dead letters it ended in."""
        return tuple(step.note for step in self.steps if step.outcome == DEAD and step.note)

    def document(self) -> dict[str, Any]:
        """Return the keys of `--json`."""
        steps = [{**to_builtins(step), "ran": step.ran} for step in self.steps]
        return {"id": self.name, "trace_ids": list(self.trace_ids), "steps": steps}
