"""Push: passes a consumer's batches to a handler, and settles what it returns."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.config import ConsumerConfig
from rsq_pipe.streams.dead_lettering import DeadLettering
from rsq_pipe.streams.decoding import decoded
from rsq_pipe.streams.entry import RawEntry
from rsq_pipe.streams.message import StreamMessage
from rsq_pipe.streams.metrics import ConsumerTally
from rsq_pipe.streams.retry import DLQHandler
from rsq_pipe.streams.serializers import JsonSerializer, Serializer
from rsq_pipe.streams.settlement import Entry, Settlement

Handler: TypeAlias = Callable[[list[StreamMessage]], Awaitable["Settlement | Sequence[str] | None"]]
ErrorHook: TypeAlias = Callable[[BaseException], object]
Settle: TypeAlias = Callable[..., Awaitable[object]]

log = logging.getLogger("rsq_pipe.streams")


class Push:
    """
    Decode, handle and settle batches; dead-letter entries that are undecodable or were delivered too often.

    Args:
        client, config: The server, and the consumer's settings.
        handler: The user's function; None if batches are read by pulling.
        dlq_handler: The user's function for dead letters.
        serializer: How records are decoded; JSON if left out.
        error_hook: Called with exceptions of the handler and of settlements.
        settle: Settles; takes a settlement and its number of dead letters.
        tally: Where errors are counted.
    """

    def __init__(
        self,
        client: StreamClient,
        config: ConsumerConfig,
        handler: Handler | None,
        dlq_handler: DLQHandler | None,
        serializer: Serializer | None,
        error_hook: ErrorHook | None,
        *,
        settle: Settle,
        tally: ConsumerTally,
    ) -> None:
        self._config = config
        self._handler = handler or no_handler
        form = self._serializer = JsonSerializer() if serializer is None else serializer
        self._dead_lettering = DeadLettering(client, config, form, dlq_handler)
        self._settle = settle
        self._tally = tally
        self._error_hook = error_hook

    async def handle(self, entries: Sequence[RawEntry]) -> None:
        """Handle one batch; entries delivered too often are dead-lettered and no longer reach the handler."""
        most = self._config.max_deliveries
        batch = [entry for entry in entries if entry.deliveries <= most]
        for entry in entries if len(batch) < len(entries) else ():
            # An undecodable entry is dead-lettered for that reason, which is the more accurate one.
            if entry.deliveries > most and await self._decode([entry]):
                await self._dead_letter(entry, "max_deliveries", self._dead_lettering.exhausted(entry))
        messages = await self._decode(batch)
        if not messages:
            return
        try:
            settlement = acknowledgement(messages, await self._handler(messages), self._config.group)
        except (Exception, asyncio.CancelledError) as exc:  # user code; its entries stay pending
            if isinstance(exc, asyncio.CancelledError) and _is_cancelled():
                raise
            self._tally.errors += 1
            log.exception("handler of group %s failed on %d messages", self._config.group, len(messages))
            await self.report(exc)
            return
        if settlement is not None:
            await self._settle(settlement)

    async def report(self, exc: BaseException) -> None:
        """Call the user's hook."""
        if self._error_hook is None:
            return
        try:
            answer = self._error_hook(exc)
            if inspect.isawaitable(answer):
                await answer
        except Exception:  # a failing hook must not end the loop it watches
            log.exception("error_hook of group %s failed", self._config.group)

    async def _decode(self, entries: Sequence[RawEntry]) -> list[StreamMessage]:
        messages: list[StreamMessage] = []
        for entry in entries:
            try:
                messages.append(decoded(entry, self._serializer))
            except Exception as exc:  # noqa: BLE001  a user's serializer may raise anything
                await self._dead_letter(entry, "decode_error", exc)
        return messages

    async def _dead_letter(self, entry: RawEntry, reason: str, error: BaseException | str) -> None:
        part = await self._dead_lettering.part(entry, reason, error)
        if part is not None:
            await self._settle(Settlement([part]), dead=1)


def _is_cancelled() -> bool:
    """Return whether our own task was cancelled, or a handler let a cancellation escape from another task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def no_handler(_: object) -> None:
    """Serve as the handler of a consumer that is read by pulling."""
    raise ValueError("this consumer has no handler; give it one, or read `batches`")


log = logging.getLogger("rsq_pipe.streams")


def acknowledgement(
    messages: Sequence[StreamMessage], returned: Settlement | Sequence[str] | None, group: str
) -> Settlement | None:
    """
    Build the settlement that a handler's return value asks for.

    Args:
        messages: The messages it was given.
        returned: What it returned: a settlement, or the ids it finished.
        group: The consumer group, for the log.

    Returns:
        None if nothing is to be acknowledged.
    """
    if isinstance(returned, Settlement):
        return returned
    if returned is None:
        log.warning("handler of group %s returned None: nothing is acknowledged", group)
        return None
    named = Counter(returned)
    given = Counter(message.id for message in messages)
    if named.keys() - given.keys():
        log.warning("handler of group %s returned ids it was not given; they are ignored", group)
    # Entries of two streams may have the same id. Which one is meant shows when they come back, each alone.
    known = [m for m in messages if named[m.id] >= given[m.id]]
    return Settlement.ack(Entry(m.stream, m.id, m.delivery_count) for m in known) if known else None
