"""Producer: a transactional producer that is abandoned after its first error."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, errors

from rsq_pipe.connectors.endpoint import AwayError
from rsq_pipe.connectors.kafka.cluster import FAULTS, sorted_out

_TOO_MUCH = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidTimestampError,
    errors.CorruptRecordException,
)
"""Errors that concern one message, rather than all."""

_FAREWELL = 1.0
"""Seconds that closing the connections may take."""

MORE = 10.0
"""Seconds that a transaction may take beyond those in which a broker has to answer."""


class Message(NamedTuple):
    """Hold one message for a topic; a tuple, since there is one for each record."""

    topic: str
    value: bytes
    key: bytes | None = None
    partition: int | None = None
    headers: list[tuple[str, bytes]] | None = None


class MessageRefusedError(Exception):
    """One of the messages is not accepted."""


class Producer:
    """
    Write transactions under one transactional id.

    Args:
        given: Connection arguments for the library's clients.
        transactional_id: The last producer to begin with it prevents all earlier ones from committing.
        seconds: Maximum seconds for a broker's answer.
        more: Further settings of the library.
    """

    def __init__(self, given: dict[str, Any], transactional_id: str, seconds: float, **more: Any) -> None:
        self._seconds = seconds
        self._made = AIOKafkaProducer(
            **given,
            transactional_id=transactional_id,
            transaction_timeout_ms=round((seconds + MORE) * 1000),
            **more,
        )

    async def start(self) -> None:
        """
        Connect, and fence all earlier producers with this id: their transactions are over after that.

        Raises:
            RefusedError, AwayError: See these classes.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._made.start()
        except FAULTS as exc:
            raise sorted_out(exc) from exc

    async def partitions(self, topic: str) -> int:
        """
        Ask how many partitions a topic has; from then on messages may name them.

        Raises:
            RefusedError, AwayError: See these classes.
        """
        client = self._made.client
        try:
            async with asyncio.timeout(self._seconds):
                await client.add_topic(topic)
                is_new = await client.force_metadata_update()
        except FAULTS as exc:
            raise sorted_out(exc) from exc
        if not is_new:
            raise AwayError("no broker says how many partitions the topic has")
        return len(client.cluster.partitions_for_topic(topic) or ())

    async def commit(self, messages: Sequence[Message]) -> None:
        """
        Write messages in one transaction: all of them, or none.

        Raises:
            MessageRefusedError: One of them is not accepted; none was written.
            RefusedError: The cluster accepts none; none was written.
            AwayError: Whether they were written is unknown.
        """
        await self._transact(messages, commit=True)

    async def try_out(self, messages: Sequence[Message]) -> None:
        """Write messages in a transaction that is aborted; raises like `commit`."""
        await self._transact(messages, commit=False)

    async def close(self) -> None:
        """Close the connections at once, even during a request; the loop belongs to this producer alone."""
        current = asyncio.current_task()
        # Its tasks wait for brokers endlessly; an orderly close waits for the tasks.
        tasks = [task for task in asyncio.all_tasks() if task is not current]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(_FAREWELL):
                await self._made.stop()

    async def _transact(self, messages: Sequence[Message], *, commit: bool) -> None:
        try:
            async with asyncio.timeout(self._seconds + MORE / 2):
                await self._made.begin_transaction()
                await self._send(messages)
                if commit:
                    await self._made.commit_transaction()
                else:
                    await self._made.abort_transaction()
        except _TOO_MUCH as exc:
            raise MessageRefusedError from exc
        except (errors.ProducerFenced, errors.InvalidProducerEpoch) as exc:
            raise AwayError("another process writes under this pipeline's name, or this one paused") from exc
        except (errors.ProducerClosed, errors.IllegalOperation) as exc:
            raise AwayError("the connection was given up") from exc
        except FAULTS as exc:
            raise sorted_out(exc) from exc

    async def _send(self, messages: Sequence[Message]) -> None:
        send = self._made.send
        waiting = [
            await send(topic, value, key, partition, headers=headers)
            for topic, value, key, partition, headers in messages
        ]
        # All are awaited, so that no error is left unretrieved.
        for found in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(found, BaseException):
                raise found
