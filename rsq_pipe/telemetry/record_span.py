"""RecordSpan: the span of one sampled record in one stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from rsq_pipe.error_text import full_text
from rsq_pipe.redaction import redact
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.telemetry.trace_context import TraceContext

MAX_TEXT = 256
"""Maximum characters of a record id or an entry id in a span."""

MAX_ERROR = 1_024
"""Maximum characters of an error message in a span."""

Value = str | int | float | bool


class RecordSpan(Struct):
    """
    Hold one open span.

    Args:
        span: The SDK's span.
        context: The context for the record's headers: this span's ids, and the incoming trace state.
        failed: Whether the record failed.
    """

    span: Span
    context: TraceContext
    failed: bool = field(default=False)

    def fail(self, error: BaseException | str) -> None:
        """
        Record why the record failed.

        Exceptions are recorded as in https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-
        spans/, but without the stack: that is in the dead letter, and may quote the record.
        """
        kind = error if isinstance(error, str) else f"{type(error).__module__}.{type(error).__qualname__}"
        text = writable(redact(full_text(error).removeprefix(f"{type(error).__name__}: ")))[:MAX_ERROR]
        name = "rejected" if isinstance(error, str) else kind.removeprefix("builtins.")
        self.failed = True
        self.span.set_attribute("error.type", name)
        self.span.add_event("exception", {"exception.type": name, "exception.message": text})
        self.span.set_status(Status(StatusCode.ERROR, text))

    def end(self, outcome: str, *, settled: bool, at: int, why: Mapping[str, Value] | None = None) -> None:
        """
        End the span.

        Args:
            outcome: `emitted`, `dropped`, `stored`, `retried`, `uncalled`, `dead-lettered`, or `unsettled`.
            settled: Whether the outcome counts; False if another worker's counts instead.
            at: Nanoseconds since 1970.
            why: Further attributes.
        """
        self.span.set_attributes({"rsq.outcome": outcome, "rsq.settled": settled, **(why or {})})
        self.span.end(at)


def start(
    tracer: Tracer,
    name: str,
    kind: SpanKind,
    parent: TraceContext | None,
    *,
    attributes: Mapping[str, Value],
    at: int,
    links: Sequence[Link] = (),
) -> RecordSpan:
    """Start a span under a record's incoming context; without one it gets its own trace."""
    # An empty context: the current context of this task is not the record's parent.
    context = (
        Context() if parent is None else set_span_in_context(NonRecordingSpan(remote(parent)), Context())
    )
    span = tracer.start_span(name, context, kind, dict(attributes), links, at)
    ids = span.get_span_context()
    state = parent.state if parent else ""
    return RecordSpan(span, TraceContext(ids.trace_id, ids.span_id, state=state))


def remote(context: TraceContext) -> SpanContext:
    """Convert a record's context to the SDK's type."""
    state = TraceState.from_header([context.state]) if context.state else TraceState()
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(
        context.trace_id, context.span_id, is_remote=True, trace_flags=flags, trace_state=state
    )
