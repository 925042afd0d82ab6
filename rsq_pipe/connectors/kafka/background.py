"""Background: an event loop in its own thread for the Kafka client, and that client's log."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import structlog
from msgspec import Struct

from rsq_pipe.connectors.loop_thread import LoopThread

_QUIET = 30.0
"""Seconds in which the client is not quoted again: in an outage it repeats itself many times a second."""


_ONE = 1.0
"""Seconds in which what it logs without an error follows from the one before."""


class Trouble(Struct, frozen=True):
    """Hold what the client logged, by the monotonic clock, and the error that was its reason."""

    at: float
    message: str
    cause: BaseException | None


_troubles: dict[int, Trouble] = {}
"""Thread -> what the client last logged there."""

_unquoted: set[int] = set()
"""Threads whose client's warnings are not logged."""


def last_trouble() -> Trouble | None:
    """Return what the client last logged in this thread: what it raises does not say why, if it raises."""
    return _troubles.get(threading.get_ident())


class Background(LoopThread):
    """
    Run coroutines from threads; the client's own tasks run in between.

    Args:
        quoted: Whether the client's warnings are logged; what it raises may say enough.
    """

    def __init__(self, *, quoted: bool = True) -> None:
        _quote_the_client()
        super().__init__("kafka")
        if not quoted:
            _unquoted.add(self.ident)

    def close(self) -> None:
        """End the loop, with everything that runs in it."""
        self.run(self._cancel())
        super().close()
        _troubles.pop(self.ident, None)
        _unquoted.discard(self.ident)

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Quotes(logging.Handler):
    """Pass on the client's warnings, at intervals; it has no other way to report an unreachable broker."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        now, message = time.monotonic(), " ".join(record.getMessage().split())
        parts = [*(record.args if isinstance(record.args, tuple) else ()), *(record.exc_info or ())]
        cause = next((part for part in reversed(parts) if isinstance(part, BaseException)), None)
        thread = threading.get_ident()
        before = _troubles.get(thread)
        if cause is None and before is not None and now < before.at + _ONE:
            cause = before.cause
        _troubles[thread] = Trouble(now, message, cause)
        if now < self._last + _QUIET or thread in _unquoted:
            return
        self._last = now
        structlog.get_logger("rsq_pipe").warning(
            "the Kafka client has a problem, and continues", says=message[:300]
        )


def _quote_the_client() -> None:
    logger = logging.getLogger("aiokafka")
    if not any(isinstance(handler, _Quotes) for handler in logger.handlers):
        logger.addHandler(_Quotes())
        logger.propagate = False
