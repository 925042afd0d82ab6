"""Failing: what becomes of a failed record: a retry, a dead letter, or the end of the run."""

from __future__ import annotations

import random
from collections.abc import Mapping

from msgspec import Struct

from rsq_pipe.engine.chain import Step
from rsq_pipe.engine.keyspace import Keyspace
from rsq_pipe.engine.plan import Failed
from rsq_pipe.error_text import full_text
from rsq_pipe.errors import (
    EncodeError,
    EvaluationError,
    HandlerContractError,
    HandlerError,
    HandlerTimeoutError,
    RecordInvalidError,
    without_frames,
)
from rsq_pipe.ids import shown
from rsq_pipe.model.outcome import Failure, NotCalled, Reject, Retry
from rsq_pipe.redaction import redact
from rsq_pipe.spec.graph import Graph, RetryPolicy, Stage
from rsq_pipe.spec.stages.join import sides_of
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.entry import fields_of
from rsq_pipe.streams.headers import ATTEMPTS, INPUT, RID
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.settlement import Output, RetryAt
from rsq_pipe.units import parse_duration

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (HandlerTimeoutError, "timeout"),
    (HandlerContractError, "contract"),
    (RecordInvalidError, "invalid_record"),
    (EvaluationError, "expression_error"),
    (EncodeError, "not_encodable"),
)


def reason_of(error: BaseException) -> str:
    """Return the cause of a failure as one word."""
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "handler_error")


class Fault(Struct, frozen=True):
    """
    Describe why a record failed.

    Args:
        error: The exception, or the reason for which the record is rejected.
        final: Whether another attempt would be useless.
        pause: Milliseconds to wait before the next attempt; None for the stage's backoff.
    """

    error: BaseException | str
    final: bool = False
    pause: int | None = None


def fault(outcome: Failure | Retry | Reject, stage: str) -> Fault:
    """Return why a record failed, according to its outcome."""
    match outcome:
        case Failure():
            return Fault(outcome.error, not outcome.retryable)
        case Reject():
            return Fault(outcome.reason, final=True)
        case Retry():
            why = HandlerError(outcome.reason or "the handler asked for a retry", stage=stage)
            try:
                after = parse_duration(outcome.after) if isinstance(outcome.after, str) else outcome.after
            except ValueError as exc:
                return Fault(without_frames(exc), final=True)
            return Fault(why, pause=None if after is None else round(after * 1000))


class StagePolicy(Struct, frozen=True):
    """
    Hold one stage's keys, and build the retries, dead letters and halts of its failed records.

    Args:
        stage: The stage.
        dlq, retry, again, drops, unknown, journal, state, timers: Its keys.
        sides: Stream -> the side of the join that its records belong to, if the stage joins.
        draw: The random source for the jitter of retries.
        outside: The name given as the origin of a record that a source has just read.
        journals: Whether it notes the outcome of each record in its journal.
    """

    stage: Stage
    dlq: str
    retry: str
    again: str
    drops: str
    unknown: str
    journal: str
    state: str
    timers: str
    sides: Mapping[str, str]
    draw: random.Random
    outside: str
    journals: bool

    @classmethod
    def of(cls, graph: Graph, stage: Stage, draw: random.Random, reader: Stage) -> StagePolicy:
        """Find a stage's keys; `reader` is the stage that its chain begins with."""
        keys = Keyspace(graph.pipeline)
        places = (keys.dlq(stage), keys.retry(stage), keys.again_stream(stage), keys.drops(stage))
        own = (keys.unknown(stage), keys.journal(stage), keys.state(stage), keys.timers(stage))
        # A source's records have only just entered: later stages note their outcomes.
        journals = graph.telemetry.journal > 0 and stage.verb != "source"
        return cls(stage, *places, *own, sides_of(stage, graph.pipeline), draw, reader.name, journals)

    def is_final(self, step: Step, place: int) -> bool:
        """Return whether a failed record gets no further attempt."""
        if place in step.excused:
            return False
        outcome = step.outcomes.failed[place]
        attempts = step.batch.attempts_at(place) + 1
        return not isinstance(outcome, Reject) and (
            fault(outcome, self.stage.name).final or attempts >= self.stage.retry.attempts
        )

    def headers(self, step: Step, place: int, error: BaseException | str) -> dict[str, str]:
        """Return all headers of a failed record, with its id and trace; note its failure once."""
        if place not in step.failing:
            is_failure = not isinstance(step.outcomes.failed[place], NotCalled)
            step.failing[place] = (
                step.trace.failing(place, error) if is_failure else step.batch.headers_at(place)
            )
        headers = {RID: step.batch.rids[place], **step.failing[place]}
        if self.sides and (side := self.sides.get(self._entry(step, place)[0])):
            headers[INPUT] = side
        attempts = step.batch.attempts_at(place)
        return headers | {ATTEMPTS: str(attempts)} if attempts else headers

    def retry_at(self, step: Step, place: int, found: Fault) -> RetryAt:
        """Build the next attempt of a record."""
        headers = self.headers(step, place, found.error)
        due = step.excused.get(place)
        if due is None:
            attempts = step.batch.attempts_at(place) + 1
            due = delay(self.stage.retry, attempts, self.draw) if found.pause is None else found.pause
            headers |= {ATTEMPTS: str(attempts)}
        fields = fields_of(step.batch.original(place), headers)
        # Records of one pack came in one entry and may be equal, even in their ids: a producer outside may
        # give two records the same id. Their places distinguish them.
        at = f"{step.part}.{place}" if step.part else str(place)
        origin = "/".join((*self._entry(step, place), at))
        return RetryAt(self.retry, due, fields, origin)

    def left(self, step: Step, place: int, found: Fault) -> Output:
        """Build the entry of a record that is to be handled again at once, with the attempts it had."""
        return Output(
            self.again, fields_of(step.batch.original(place), self.headers(step, place, found.error))
        )

    def dead_letter(self, step: Step, place: int, found: Fault, reason: str) -> Output:
        """Build a record's dead letter."""
        delivery = step.batch.delivery_at(place)
        raw = step.batch.original(place)
        headers = self.headers(step, place, found.error)
        stream, entry_id = self._entry(step, place)
        failed = StreamMessage(entry_id, None, delivery.deliveries if delivery else 1, headers, stream, raw)
        return dead_letter(
            *(self.dlq, failed),
            reason=reason,
            stage=self.stage.name,
            error=found.error,
            attempts=step.batch.attempts_at(place) + 1,
            redact=redact,
        )

    def failed(self, step: Step, place: int) -> Failed:
        """Describe a failed record for the log."""
        outcome = step.outcomes.failed[place]
        error = fault(outcome, self.stage.name).error
        headers = self.headers(step, place, error)
        on_error = "dlq" if isinstance(outcome, Reject) else self.stage.on_error
        return Failed(self.stage.name, on_error, headers[RID], headers, error)

    def halt(self, step: Step, place: int) -> HandlerError:
        """Make the error that stops the stage."""
        found = fault(step.outcomes.failed[place], self.stage.name)
        self.headers(step, place, found.error)
        delivery = step.batch.delivery_at(place)
        where = f"entry {delivery.id} of {delivery.stream}" if delivery else f"from source {self.outside!r}"
        halt = HandlerError(
            f"stage {self.stage.name!r} stopped at record {shown(step.batch.rids[place])!r} "
            f"({where}): {full_text(found.error)}. It stays pending: fix the handler or what it needs, and "
            "run again",
            stage=self.stage.name,
        )
        halt.__cause__ = found.error if isinstance(found.error, BaseException) else None
        return halt

    def _entry(self, step: Step, place: int) -> tuple[str, str]:
        delivery = step.batch.delivery_at(place)
        return (delivery.stream, delivery.id) if delivery else (self.outside, step.batch.rids[place])


def too_many_keys(stage: Stage, most: int) -> HandlerError:
    """Make the error of a stage whose state would exceed `max_keys`."""
    return HandlerError(
        f"stage {stage.name!r} remembers {most:,} keys at most, its `max_keys`, and was given more; raise "
        "`max_keys`, or have it remember less. Its records stay pending",
        stage=stage.name,
    )


def delay(policy: RetryPolicy, attempt: int, draw: random.Random) -> int:
    """
    Choose the pause before the next attempt.

    Args:
        policy: The stage's policy; the pause doubles from `first` up to `max`, give or take `jitter`.
        attempt: How many attempts have failed, from 1.
        draw: The random source for the jitter, so that records that failed together do not return together.

    Returns:
        Milliseconds.
    """
    pause = min(policy.max, policy.first * 2.0 ** min(attempt - 1, 60))
    return max(0, round(pause * (1 + draw.uniform(-policy.jitter, policy.jitter)) * 1000))
