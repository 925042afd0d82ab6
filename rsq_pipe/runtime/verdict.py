"""Verdict: what becomes of a batch, decided from its outcomes alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rsq_pipe.errors import (
    EncodeError,
    EvaluationError,
    HandlerContractError,
    HandlerError,
    HandlerTimeoutError,
    RecordInvalidError,
    without_frames,
)
from rsq_pipe.ids import child, shown
from rsq_pipe.runtime.keyspace import Keyspace
from rsq_pipe.runtime.schedule import delay
from rsq_pipe.spec.duration import parse_duration
from rsq_pipe.spec.graph import Graph, Stage
from rsq_pipe.model.outcome import Drop, Emit, Failure, Outcome, Reject, Retry
from rsq_pipe.streams.dead_letter import dead_letter, told
from rsq_pipe.streams.entry import MAX_FIELDS, fields_of, has_room
from rsq_pipe.streams.headers import ATTEMPTS, DATA, PREFIX, RID, is_reserved
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Entry, Output, Part, RetryAt, Settlement
from rsq_pipe.telemetry.observer import StageObserver
from rsq_pipe.telemetry.redaction import redact

MAX_CHILDREN = 10_000
"""Records that one record may become in one stage."""

NO_RECORD, EMPTY_LIST, UNSAID = "returned None", "returned no records", "no reason given"
"""Reasons for drops of handlers that give none; `on_error: drop` adds the word for the failure."""

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (HandlerTimeoutError, "timeout"),
    (HandlerContractError, "contract"),
    (RecordInvalidError, "invalid_record"),
    (EvaluationError, "expression_error"),
    (EncodeError, "not_encodable"),
)


@dataclass(slots=True)
class Verdict:
    """
    Hold the decision on one batch.

    Args:
        settlement: What is to be settled.
        failures: What failed for good, for the log: one line a batch, not one a record.
        first: The first record of these.
        halt: Why the stage has to stop, where `on_error: stop` says so; the record stays pending.
    """

    settlement: Settlement
    failures: list[BaseException | str] = field(default_factory=list)
    first: StreamMessage | None = None
    halt: BaseException | None = None


class Judge:
    """
    Decide for one stage.

    Args:
        graph: The pipeline.
        stage: The stage whose outcomes are judged.
        serializer: How records are encoded for the streams below.
        draw: Where the jitter of retries comes from.
        observer: Told of each record that fails, and gives it a trace.
    """

    def __init__(
        self,
        graph: Graph,
        stage: Stage,
        serializer: Serializer,
        draw: random.Random | None = None,
        observer: StageObserver | None = None,
    ) -> None:
        keys = Keyspace(graph.pipeline)
        self._stage = stage
        self._serializer = serializer
        self._ports = {port: keys.stream(ref) for port, ref in stage.outputs.items()}
        self._has_effects_only = stage.verb == "call" and "" not in self._ports
        self._dlq, self._retry = keys.dlq(stage), keys.retry(stage)
        self._draw = draw or random.Random()  # noqa: S311 (jitter is no secret)
        self._observer = observer or StageObserver()

    def decide(self, messages: Sequence[StreamMessage], outcomes: Sequence[Outcome]) -> Verdict:
        """
        Turn outcomes into a settlement, one part an entry, so that each stands or falls alone.

        Args:
            messages: The batch.
            outcomes: One per message, in the same order.
        """
        verdict = Verdict(Settlement())
        add = verdict.settlement.parts.append
        encode, only = self._serializer.encode, self._ports.get("")
        for message, outcome in zip(messages, outcomes, strict=True):
            entry = Entry(message.stream, message.id, message.delivery_count)
            # Nearly every record of nearly every stage takes this branch.
            if type(outcome) is dict and only is not None:
                try:
                    fields = fields_of(encode(outcome), onward(message))
                except EncodeError as exc:
                    self._fail(verdict, entry, message, without_frames(exc), final=True)
                else:
                    add(Part((entry,), (Output(only, fields),)))
            elif (outcome is None and not self._has_effects_only) or isinstance(outcome, Drop):
                add(_dropped(entry, why_dropped(outcome)))
            else:
                self._rarer(verdict, entry, message, outcome)
        return verdict

    def _rarer(self, verdict: Verdict, entry: Entry, message: StreamMessage, outcome: Outcome) -> None:
        match outcome:
            case Failure():
                self._fail(verdict, entry, message, outcome.error, final=not outcome.retryable)
            case Retry():
                self._again(verdict, entry, message, outcome)
            case Reject():
                message = self._observer.failing(message, outcome.reason)
                verdict.failures.append(outcome.reason)
                verdict.first = verdict.first or message
                dead = self.dead_letter(message, "rejected", outcome.reason, message.attempts + 1)
                verdict.settlement.parts.append(Part((entry,), dead=(dead,)))
            case _:
                try:
                    outputs = self._outputs(message, outcome)
                except (EncodeError, HandlerContractError) as exc:
                    self._fail(verdict, entry, message, without_frames(exc), final=True)
                else:
                    verdict.settlement.parts.append(self._ended(entry, outputs))

    def _ended(self, entry: Entry, outputs: Sequence[Output]) -> Part:
        if outputs:
            return Part((entry,), outputs)
        if self._has_effects_only:  # as through a sink
            return Part((entry,), delivered=1)
        # A list without records is how a handler says "nothing comes of this one".
        return _dropped(entry, EMPTY_LIST)

    def _outputs(self, message: StreamMessage, outcome: Any) -> Sequence[Output]:
        if not isinstance(outcome, list | tuple):
            return () if self._goes_nowhere(outcome) else (self._output(message, outcome, message.rid),)
        if len(outcome) > MAX_CHILDREN:
            raise HandlerContractError(
                f"stage {self._stage.name!r} made {len(outcome):,} records of one; "
                f"the bound is {MAX_CHILDREN:,}, since they are written in one step",
                stage=self._stage.name,
            )
        return [
            self._output(message, one, child(message.rid, index))
            for index, one in enumerate(outcome)
            if not self._goes_nowhere(one)
        ]

    def _goes_nowhere(self, wish: dict[str, Any] | Emit | None) -> bool:
        """Tell whether `to: none` stands for this one: it names no port."""
        return self._has_effects_only and not (isinstance(wish, Emit) and wish.to)

    def _output(self, message: StreamMessage, wish: dict[str, Any] | Emit, rid: str) -> Output:
        emit = wish if isinstance(wish, Emit) else Emit(wish)
        key = self._ports.get(emit.to)
        if key is None:
            ports = ", ".join(repr(port) for port in self._ports if port) or "none"
            port = f"port {emit.to!r}" if emit.to else "an output without a port"
            raise HandlerContractError(
                f"stage {self._stage.name!r} emitted to {port}, which it does not have; its ports: {ports}",
                stage=self._stage.name,
            )
        headers = dict(onward(message))
        if emit.headers:
            headers |= _checked(self._stage.name, emit.headers, message.headers)
        headers[RID] = rid
        if len(headers) >= MAX_FIELDS and not has_room((DATA, *headers)):
            raise HandlerContractError(
                f"stage {self._stage.name!r} emitted {len(headers):,} headers; "
                f"the bound is {MAX_FIELDS - 1:,}",
                stage=self._stage.name,
            )
        return Output(key, fields_of(self._serializer.encode(emit.record), headers))

    def _again(self, verdict: Verdict, entry: Entry, message: StreamMessage, wish: Retry) -> None:
        why = HandlerError(wish.reason or "the handler asked for a retry", stage=self._stage.name)
        try:
            after = parse_duration(wish.after) if isinstance(wish.after, str) else wish.after
        except ValueError as exc:
            self._fail(verdict, entry, message, without_frames(exc), final=True)
            return
        self._fail(verdict, entry, message, why, pause=None if after is None else round(after * 1000))

    def _fail(
        self,
        verdict: Verdict,
        entry: Entry,
        message: StreamMessage,
        error: BaseException,
        *,
        final: bool = False,
        pause: int | None = None,
    ) -> None:
        message = self._observer.failing(message, error)
        attempts = message.attempts + 1
        policy = self._stage.retry
        add = verdict.settlement.parts.append
        if not final and attempts < policy.attempts:
            due = delay(policy, attempts, self._draw) if pause is None else pause
            headers = {**message.headers, RID: message.rid, ATTEMPTS: str(attempts)}
            origin = f"{message.stream}/{message.id}"
            add(Part((entry,), retries=(RetryAt(self._retry, due, fields_of(message.raw, headers), origin),)))
            return
        verdict.failures.append(error)
        verdict.first = verdict.first or message
        if self._stage.on_error == "stop":
            verdict.halt = verdict.halt or self._halt(message, error)
        elif self._stage.on_error == "drop":
            add(_dropped(entry, f"on_error: {reason_of(error)}"))
        else:
            add(Part((entry,), dead=(self.dead_letter(message, reason_of(error), error, attempts),)))

    def _halt(self, message: StreamMessage, error: BaseException) -> HandlerError:
        why = told(error)
        halt = HandlerError(
            f"stage {self._stage.name!r} stopped at record {shown(message.rid)!r} "
            f"(entry {message.id} of {message.stream}): {why}. It stays pending: mend the handler or what it "
            "needs, and run again",
            stage=self._stage.name,
        )
        halt.__cause__ = error
        return halt

    def dead_letter(
        self, message: StreamMessage, reason: str, error: BaseException | str, attempts: int
    ) -> Output:
        """Make the stage's dead letter of a message."""
        failed = replace(message, headers={RID: message.rid, **message.headers})
        return dead_letter(
            *(self._dlq, failed),
            reason=reason,
            stage=self._stage.name,
            error=error,
            attempts=attempts,
            redact=redact,
        )


def _dropped(entry: Entry, reason: str) -> Part:
    return Part((entry,), dropped=1, reason=reason)


def why_dropped(outcome: Drop | None) -> str:
    """Name the reason of a drop; what a handler says may quote a secret."""
    if outcome is None:
        return NO_RECORD
    return redact(outcome.reason) if outcome.reason else UNSAID


def reason_of(error: BaseException) -> str:
    """Name the cause of a failure in a word."""
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "handler_error")


def onward(message: StreamMessage) -> Mapping[str, str]:
    """Return the headers that go on: the record's id and the user's. The system's others end here."""
    headers = message.headers
    if len(headers) == 1 and RID in headers:  # nearly always
        return headers
    own = {name: value for name, value in headers.items() if not name.startswith(PREFIX)}
    return {RID: message.rid} | own


def _checked(stage: str, wish: Mapping[str, str], came_with: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers a handler may add; a record's own come from an entry, and can be written."""
    for name, value in wish.items():
        for item in (name, value):
            try:
                item.encode()
            except (AttributeError, UnicodeEncodeError) as exc:
                raise HandlerContractError(
                    f"stage {stage!r} emitted a header that cannot be written: {item!a}; "
                    "names and values are text",
                    stage=stage,
                ) from exc
        # Who hands `ctx.headers` on, with one more, means no harm.
        if is_reserved(name) and came_with.get(name) != value:
            raise HandlerContractError(
                f"stage {stage!r} emitted the header {name!r}, which is not a handler's to set: "
                f"{DATA!r} holds the record, and what begins with {PREFIX!r} is rsq-pipe's own; "
                "give it another name",
                stage=stage,
            )
    return {name: value for name, value in wish.items() if not is_reserved(name)}
