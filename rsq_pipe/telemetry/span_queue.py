"""SpanQueue: the queue of finished spans for an exporter; bounded, counted, and never waited for."""

from __future__ import annotations

import gc
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger("rsq_pipe.telemetry")

MAX_QUEUE = 65_536
"""Maximum number of waiting spans; `OTEL_BSP_MAX_QUEUE_SIZE` overrides it. 2 to 5 kB each."""

OUTAGE = 4_096
"""Maximum number of waiting spans while the exporter fails: an outage may last for days."""

BATCH = 512
"""Maximum number of spans in one export; `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` overrides it."""

PAUSE = 1.0
"""Seconds until a partial batch is sent; `OTEL_BSP_SCHEDULE_DELAY` (milliseconds) overrides it."""

FAREWELL = 2.0
"""Seconds that the end of a process may wait for remaining spans while the collector is silent."""

LONGEST = 10.0
"""Maximum seconds that it may wait while the collector keeps accepting them."""

CALM = 60.0
"""Seconds between two log lines about failures: an overloaded collector may take every other batch."""


class SpanQueue(SpanProcessor):
    """
    Export spans from its own thread.

    The SDK's BatchSpanProcessor drops the oldest spans without a readable count, and its shutdown waits for
    an exporter that hangs. This one drops the newest, counts them, and gives up when its time is over.

    Args:
        exporter: Called only by the thread; may block.
        limit, batch: Maximum number of waiting spans, and of spans in one export.
        pause: Seconds.
        to: What the exporter sends to, for the log.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        limit: int = MAX_QUEUE,
        batch: int = BATCH,
        pause: float = PAUSE,
        to: str = "the collector",
    ) -> None:
        self._exporter = exporter
        self._to = to
        self._limit, self._batch, self._pause = limit, batch, pause
        self._outage = min(limit, OUTAGE)
        self._spans: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._failing = False
        self._logged_at = -math.inf
        self._in_hand = 0
        self.exported = 0
        self._taken = 0.0  # when the last batch was exported
        # Each is written by one thread only, so no count is lost between them.
        self._refused = self._undelivered = self._left_behind = 0
        # A daemon: the process's end waits `FAREWELL` for it, not for as long as a request hangs.
        self._thread = threading.Thread(target=self._work, name="rsq-pipe spans", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Spans that did not reach their exporter: no room, the exporter failed, or time ran out."""
        return self._refused + self._undelivered + self._left_behind

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing; only finished spans matter."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span; if there is no room, it is dropped and counted."""
        if len(self._spans) >= (self._outage if self._failing else self._limit) or self._closing:
            self._refused += 1
            return
        self._spans.append(span)
        if len(self._spans) >= self._batch and not self._wake.is_set():
            self._wake.set()

    def shutdown(self) -> None:
        """Export the waiting spans; wait for a silent exporter for `FAREWELL` seconds at most. Idempotent."""
        self.close(FAREWELL)

    def close(self, seconds: float, longest: float = LONGEST) -> None:
        """
        Export the waiting spans; idempotent.

        Args:
            seconds: Seconds for which the exporter may be silent.
            longest: Maximum seconds in total while the exporter keeps accepting spans.
        """
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        began = now = time.monotonic()
        while self._thread.is_alive() and now < min(max(began, self._taken) + seconds, began + longest):
            self._thread.join(min(max(began, self._taken) + seconds, began + longest) - now)
            now = time.monotonic()
        if self._thread.is_alive():
            self._left_behind = len(self._spans) + self._in_hand
        if self.dropped:
            log.warning(
                "%d spans were lost, %d exported: %s did not take them in time",
                self.dropped,
                self.exported,
                self._to,
            )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until no span waits; False if the time runs out first."""
        deadline = time.monotonic() + timeout_millis / 1000
        self._wake.set()
        while self._spans and self._thread.is_alive() and time.monotonic() < deadline:
            self._thread.join(0.01)
        return not self._spans

    def _work(self) -> None:
        while not self._closing:
            self._wake.wait(self._pause)
            self._wake.clear()
            self._drain()
        self._drain()
        self._exporter.shutdown()

    def _drain(self) -> None:
        while self._spans:
            batch = [self._spans.popleft() for _ in range(min(self._batch, len(self._spans)))]
            self._in_hand = len(batch)
            delivered = self._delivered(batch)
            self._in_hand = 0
            if delivered:
                self.exported += len(batch)
                self._taken = time.monotonic()
                self._failing = False
                continue
            self._undelivered += len(batch)
            begins, self._failing = not self._failing, True
            if begins and time.monotonic() - self._logged_at >= CALM:
                # Once per outage: the exporter has logged why.
                self._logged_at = time.monotonic()
                what = "spans cannot be delivered to %s; the pipeline continues, and counts those it drops"
                log.warning(what, self._to)
            while len(self._spans) > self._outage:
                self._spans.pop()
                self._undelivered += 1
            # The error of a request that failed refers to itself by its traceback, which holds the batch and
            # its bytes: megabytes, but few objects, so that Python would not look for garbage by itself.
            del batch
            gc.collect(1)

    def _delivered(self, batch: Sequence[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # an exporter's fault must end neither this thread nor the pipeline
            log.debug("the span exporter raised", exc_info=True)
            return False
