"""Runs: the results for records given to one stage or to a whole pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct

from rsq_pipe.engine.summary import StageSummary
from rsq_pipe.suggestion import suggest

T = TypeVar("T")


# Plain tuples, so that they compare with a test's literals.


class Dead(NamedTuple):
    """
    Hold one dead letter.

    Args:
        record: The record as the stage got it.
        reason: The cause as one word: `handler_error`, `rejected`, `timeout` ...
        error: The text shown by `rsq-pipe dlq show`: `ValueError: order 3 has no lines`.
    """

    record: dict[str, Any]
    reason: str
    error: str


class Retried(NamedTuple):
    """
    Hold one record that would be handled again.

    Args:
        record: The record as the stage got it.
        error: The exception, or the reason that the handler gave.
        delay: Seconds it would wait, without the backoff's jitter.
    """

    record: dict[str, Any]
    error: str
    delay: float


class StageRun(Struct, frozen=True):
    """
    Hold the results of `run_stage`, each list in the order of the given records.

    Args:
        stage: The stage's name.
        ports: Port -> the records it got, as the next stage would read them; the plain output is "".
        headers: Port -> the headers of these records.
        dropped: The records that ended here on purpose, or by `on_error: drop`.
        retried: The records that would be handled again later.
        dead: The records that became dead letters.
        halted: Why the stage stopped because of `on_error: stop`; later records were not handled.
    """

    stage: str
    ports: Mapping[str, list[dict[str, Any]]]
    headers: Mapping[str, list[dict[str, str]]]
    dropped: list[dict[str, Any]]
    retried: list[Retried]
    dead: list[Dead]
    halted: BaseException | None = None

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of the plain output; LookupError for a stage that has only ports."""
        return self.port("")

    def port(self, name: str) -> list[dict[str, Any]]:
        """Return the records of a port; LookupError if the stage has no such port."""
        if name not in self.ports:
            missing = f"port {name!r}" if name else "one output"
            there = (
                ", ".join(f".port({port!r})" if port else ".records" for port in self.ports) or "no output"
            )
            raise LookupError(f"stage {self.stage!r} has no {missing}; it has {there}")
        return self.ports[name]


class PipelineRun(Struct, frozen=True):
    """
    Hold the results of `run_pipeline`.

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
        """Return the records that reached a sink; LookupError if there is no such sink."""
        return self._found(self.sinks, "sink", name)

    def stream(self, key: str) -> list[dict[str, Any]]:
        """Return the records of a published stream; LookupError if the pipeline publishes no such stream."""
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
