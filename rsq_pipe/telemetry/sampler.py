"""Sampler: chooses which incoming records are traced; one decision per batch, not per record."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence

from rsq_pipe.spec.sampling import Sampling
from rsq_pipe.telemetry.trace_context import TraceContext

BUNCH = 0.5
"""Seconds for which unused traces are saved up when records come faster than they may be traced: a batch
with a traced record also has its own span, so five records in one batch cost less than five in five."""

_LAST_64 = (1 << 64) - 1


class Sampler:
    """
    Choose the records to trace.

    Args:
        sampling: The rate.
        parent_based: Whether a record that comes with a trace context follows that context's decision;
            otherwise its trace id decides.
        trust: Whether every such record is traced, however many come. Anyone who can write to a stream can
            claim that all its records are sampled.
        draw, clock: Sources of randomness and of the time (seconds).
    """

    def __init__(
        self,
        sampling: Sampling,
        *,
        parent_based: bool = True,
        trust: bool = False,
        draw: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sampling = sampling
        self._parent_based = parent_based
        self._trust = trust
        self._draw = draw or random.Random()  # noqa: S311 (not used for security)
        self._clock = clock
        # A full bucket: in a short run the first records are traced.
        self._most = max(1.0, sampling.value)
        self._tokens, self._filled = self._most, clock()
        self._least = max(1.0, sampling.value * BUNCH)
        # Records that come with a trace have their own allowance: records without one are far more frequent
        # and would use it up, and few traces would get from one pipeline into the next.
        self._allowance, self._allowed = self._most, clock()

    @property
    def starts_traces(self) -> bool:
        """Whether any record without a trace gets one; failing records count."""
        return self._sampling.mode != "none"

    def choose(self, count: int) -> Sequence[int]:
        """Choose among `count` records that enter without a trace; return their places in order."""
        match self._sampling.mode:
            case "all":
                return range(count)
            case "none":
                return ()
            case "rate":
                return self._at_a_rate(count)
            case "share":
                return self._a_share(count)

    def follows(self, context: TraceContext) -> bool:
        """Decide whether to trace a record that comes with a trace context from outside."""
        if self._parent_based:
            return context.sampled
        match self._sampling.mode:
            case "all" | "rate":
                return True
            case "none":
                return False
            case "share":
                return context.trace_id & _LAST_64 < self._sampling.value * (_LAST_64 + 1)

    def choose_followed(self, contexts: Sequence[TraceContext], records: int) -> Sequence[int]:
        """
        Choose which of the contexts of records from outside are followed.

        Args:
            contexts: The contexts.
            records: Number of records that came from outside with them, including those without a context.

        Returns:
            The places of the chosen ones in order: over time, no more than `choose` may choose.
        """
        wished = [place for place, context in enumerate(contexts) if self.follows(context)]
        if self._trust or not self._parent_based:
            return wished
        if self._sampling.mode in {"all", "none"}:
            return wished if self._sampling.mode == "all" else ()
        now, most = self._clock(), self._most
        gained = (now - self._allowed) * self._sampling.value
        self._allowed = now
        if self._sampling.mode == "share":
            gained = records * self._sampling.value
            most = max(most, gained)
        self._allowance = min(most, self._allowance + gained)
        granted = min(len(wished), int(self._allowance))
        self._allowance -= granted
        return wished[:granted]

    def _at_a_rate(self, count: int) -> Sequence[int]:
        now = self._clock()
        self._tokens = min(self._most, self._tokens + (now - self._filled) * self._sampling.value)
        self._filled = now
        if self._tokens < self._least or not count:
            return ()
        granted = min(count, int(self._tokens))
        self._tokens -= granted
        return sorted(self._draw.sample(range(count), granted))

    def _a_share(self, count: int) -> Sequence[int]:
        share = self._sampling.value
        if share >= 1 or share <= 0:
            return range(count) if share >= 1 else ()
        # Draws how many records to skip, so that the work grows with those chosen and not with those skipped.
        chosen: list[int] = []
        at, log_rest = -1, math.log1p(-share)
        while True:
            at += 1 + int(math.log(1.0 - self._draw.random()) / log_rest)
            if at >= count:
                return chosen
            chosen.append(at)


def sampler(sampling: Sampling, environ: Mapping[str, str], *, trust: bool = False) -> Sampler:
    """
    Create the sampler of a pipeline; `OTEL_TRACES_SAMPLER` and its `_ARG` override the pipeline file.

    See https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. With a sampler
    that is not one of the six standard ones, the file decides.
    """
    name = environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    parent_based = name.startswith("parentbased_")
    match name.removeprefix("parentbased_"):
        case "always_on":
            return Sampler(Sampling("all", 1.0), parent_based=parent_based, trust=trust)
        case "always_off":
            return Sampler(Sampling("none", 0.0), parent_based=parent_based, trust=trust)
        case "traceidratio":
            share = _ratio(environ.get("OTEL_TRACES_SAMPLER_ARG", ""))
            return Sampler(Sampling("share", share), parent_based=parent_based, trust=trust)
        case _:
            return Sampler(sampling, trust=trust)


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 1.0  # as the specification requires for a missing or invalid argument
    return value if 0 <= value <= 1 else 1.0
