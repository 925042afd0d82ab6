"""PipelineRun: what a whole pipeline made of the records it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from rsq_pipe.engine.summary import StageSummary
from rsq_pipe.suggestion import suggest
from rsq_pipe.testing.failed import Dead

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PipelineRun:
    """
    Hold what `run_pipeline` found.

    Args:
        pipeline: The pipeline's name.
        sinks: Sink stage -> the records that reached it, in the order of their arrival.
        streams: Key of a stream that the pipeline publishes -> its records.
        letters: Stage -> its dead letters.
        counts: Stage -> records received, emitted, dropped, retried and dead.
    """

    pipeline: str
    sinks: Mapping[str, list[dict[str, Any]]]
    streams: Mapping[str, list[dict[str, Any]]]
    letters: Mapping[str, list[Dead]]
    counts: Mapping[str, StageSummary]

    def sink(self, name: str) -> list[dict[str, Any]]:
        """Return what reached a sink; LookupError if there is none of this name."""
        return self._found(self.sinks, "sink", name)

    def stream(self, key: str) -> list[dict[str, Any]]:
        """Return what stands in a published stream; LookupError if the pipeline publishes no such stream."""
        return self._found(self.streams, "published stream", key)

    def dead(self, stage: str | None = None) -> list[Dead]:
        """Return a stage's dead letters, or those of all stages; LookupError if there is no such stage."""
        if stage is None:
            return [letter for letters in self.letters.values() for letter in letters]
        return self._found(self.letters, "stage", stage)

    def _found(self, those: Mapping[str, list[T]], what: str, name: str) -> list[T]:
        if name not in those:
            hint = suggest(name, those, otherwise="" if those else "it has none at all")
            raise LookupError(f"pipeline {self.pipeline!r} has no {what} {name!r}; {hint}")
        return those[name]
