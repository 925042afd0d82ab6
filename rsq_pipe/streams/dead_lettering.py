"""DeadLettering: handles an entry that failed for good."""

from __future__ import annotations

import logging

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.dead_letter import dead_letter
from rsq_pipe.streams.decoding import decoded, undecoded
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.retry import DLQHandler
from rsq_pipe.streams.serializers import Serializer
from rsq_pipe.streams.settlement import Entry, Part

log = logging.getLogger("rsq_pipe.streams")


class DeadLettering:
    """
    Dead-letter entries of one consumer.

    Args:
        client: The server.
        config: The consumer's settings; `dlq_stream` is written in the step that acknowledges.
        serializer: Decodes records for the user's function; undecodable ones stay bytes.
        dlq_handler: The user's function, called first.
    """

    def __init__(
        self,
        client: StreamClient,
        config: ConsumerConfig,
        serializer: Serializer,
        dlq_handler: DLQHandler | None,
    ) -> None:
        self._serializer = serializer
        self._target = client.key(config.dlq_stream) if config.dlq_stream else None
        self._group = config.group
        self._most = config.max_deliveries
        self._dlq_handler = dlq_handler

    def exhausted(self, entry: RawEntry) -> str:
        """Explain the reason `max_deliveries`."""
        return (
            f"handed out {entry.deliveries - 1} times and never finished: "
            "its handler failed, hung or took its worker down each time"
        )

    async def part(self, entry: RawEntry, reason: str, error: BaseException | str) -> Part | None:
        """
        Build the part of a settlement that dead-letters an entry.

        Returns:
            None if the entry has to stay pending: the user's function raised, or there is neither a function
                nor a stream for it. That is logged; an entry is never acknowledged and lost.
        """
        where = f"{entry.stream}/{entry.id}"
        if self._dlq_handler is None and self._target is None:
            log.error("%s cannot be dead-lettered (%s): set dlq_stream or dlq_handler", where, reason)
            return None
        if self._dlq_handler is not None:
            try:
                await self._dlq_handler(self._message(entry), reason)
            except Exception:  # user code; the entry stays pending, so nothing is lost
                log.exception("dlq_handler failed on %s; the entry stays pending", where)
                return None
        origin = Entry(entry.stream, entry.id, entry.deliveries)
        if self._target is None:
            return Part([origin])
        letter = dead_letter(
            self._target,
            entry,
            reason=reason,
            stage=self._group,
            error=error,
            attempts=min(entry.deliveries, self._most),
        )
        return Part([origin], dead=[letter])

    def _message(self, entry: RawEntry) -> StreamMessage:
        # The delivery that found the entry exhausted never reached a handler.
        entry = entry._replace(deliveries=min(entry.deliveries, self._most))
        try:
            return decoded(entry, self._serializer)
        except Exception:  # noqa: BLE001  the entry may be dead-lettered because it cannot be decoded
            return undecoded(entry)
