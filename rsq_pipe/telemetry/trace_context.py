"""TraceContext: the headers `traceparent` and `tracestate`, read without trusting them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.ids import shown
from rsq_pipe.streams.headers import PARENT, STATE

MAX_STATE = 512
"""Maximum characters of a `tracestate` that is passed on, as the W3C requires; a longer one is left out."""

_OURS = "rsq"
_SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[!-~]{0,256})?")


class TraceContext(Struct, frozen=True):
    """
    Identify a span of a trace, as defined by https://www.w3.org/TR/trace-context/.

    Args:
        trace_id, span_id: As numbers, neither 0.
        sampled: Whether the creator of the span records the trace.
        state: Values added by vendors, as `key=value` pairs.
    """

    trace_id: int
    span_id: int
    sampled: bool = True
    state: str = ""

    @property
    def parent(self) -> str:
        """Format the `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{'01' if self.sampled else '00'}"

    @property
    def headers(self) -> dict[str, str]:
        """Return both headers, `tracestate` only if there is one."""
        return {PARENT: self.parent, STATE: self.state} if self.state else {PARENT: self.parent}

    @property
    def entered_at(self) -> int:
        """Milliseconds since 1970 at which the record entered a pipeline; 0 if unknown."""
        for member in self.state.split(","):
            key, _, value = member.strip().partition("=")
            if key == _OURS and value.isascii() and value.isdigit() and len(value) < 16:
                return int(value)
        return 0

    def entering(self, at: int) -> TraceContext:
        """Note in `tracestate` when the record entered, unless an earlier pipeline did."""
        if self.entered_at:
            return self
        state = f"{_OURS}={at},{self.state}" if self.state else f"{_OURS}={at}"
        return replace(self, state=state) if len(state) <= MAX_STATE else self


def read(headers: Mapping[str, str]) -> TraceContext | None:
    """Read the trace context of a record; None if there is none, or it is malformed or forged."""
    context = read_parent(headers.get(PARENT, ""))
    if context is None or not (state := headers.get(STATE, "")):
        return context
    return replace(context, state=state) if _is_sound(state) else context


def read_parent(text: str) -> TraceContext | None:
    """Parse a `traceparent`; None if it is invalid. Of later versions, only the known part is read."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    version, trace_id, span_id = match[1], int(match[2], 16), int(match[3], 16)
    known = version != "ff" and not (version == "00" and match[5])
    if not known or not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(int(match[4], 16) & _SAMPLED))


def with_context(fields: Sequence[str | bytes], context: TraceContext) -> list[str | bytes]:
    """Return an output's fields with this trace context instead of any other."""
    kept: list[str | bytes] = []
    for name, value in zip(fields[::2], fields[1::2], strict=True):
        if name not in {PARENT, STATE, PARENT.encode(), STATE.encode()}:
            kept += (name, value)
    for pair in context.headers.items():
        kept += pair
    return kept


def names(rid: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Return fields that identify a record in a log line: its id, and its trace if its headers name one."""
    context = read(headers)
    own = {"rid": shown(rid)}
    return own if context is None else {**own, "trace_id": f"{context.trace_id:032x}"}


def _is_sound(state: str) -> bool:
    return len(state) <= MAX_STATE and state.isascii() and state.isprintable()
