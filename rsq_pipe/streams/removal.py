"""Removal: takes entries out of a stream for an operator, moving or deleting them, with an exact count."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from rsq_pipe.errors import StreamError
from rsq_pipe.streams.backoff import Backoff
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.script import Script
from rsq_pipe.streams.waiting import uninterrupted

MAX_ENTRIES = 100
"""Maximum number of entries in one call: it blocks the server."""

TRIES = 5
"""How often one call is sent while the server is unreachable."""

RECEIPT_SECONDS = 600

_REPLAY = Script("replay")
_PURGE = Script("purge")


class Move(NamedTuple):
    """
    Name one entry, and the fields written in its place.

    Args:
        id: The entry id.
        fields: Names and values alternately.
    """

    id: str
    fields: Sequence[str | bytes]


class Removed(Struct, frozen=True):
    """
    Count the results for some entries.

    Args:
        removed: Moved or deleted by this call.
        held: Left alone, because a consumer group of the stream has them in flight.
        gone: No longer there: another consumer or operator took them first.
    """

    removed: int = 0
    held: int = 0
    gone: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.removed + other.removed, self.held + other.held, self.gone + other.gone)


class Removal:
    """
    Take entries out of one stream. Not for several tasks at once.

    A call whose reply is lost is sent again and changes nothing the second time: a receipt next to the
    stream stores the last call of each Removal, so that the count stays exact too.

    Args:
        client: The server.
        stream: The stream's key.
        table: The key of a hash, in the same slot, that counts what was removed.
    """

    def __init__(self, client: StreamClient, stream: str, table: str) -> None:
        self._client = client
        self._stream = stream
        self._table = table
        self._operation = secrets.token_hex(8)
        self._calls = 0

    async def move(
        self, moves: Sequence[Move], target: str, *, counter: str, groups: Sequence[str] = ()
    ) -> Removed:
        """
        Append entries to another stream and delete them here, each in one step.

        Args:
            moves: At most MAX_ENTRIES.
            target: The other stream's key, in the same slot.
            counter: The field that counts them.
            groups: Groups that must read the target; without them, moved entries would stay there unread.

        Raises:
            GroupLostError: The target lacks one of the groups; nothing was moved.
            ServerUnavailableError: Whether it was applied is unknown. Moving what is still there is safe.

        Delivery: an entry is in exactly one of the two streams at any time.
        Cancellation: runs to the end.
        Redis: EVALSHA replay.lua.
        """
        args: list[str | bytes | int] = [len(groups), *groups]
        for entry_id, fields in moves:
            args += (entry_id, len(fields), *fields)
        return await self._remove(_REPLAY, len(moves), counter, args, [target])

    async def delete(self, ids: Sequence[str], *, counter: str) -> Removed:
        """
        Delete entries; at most MAX_ENTRIES.

        Raises:
            ServerUnavailableError: Whether it was applied is unknown.

        Cancellation: runs to the end.
        Redis: EVALSHA purge.lua.
        """
        return await self._remove(_PURGE, len(ids), counter, ids, [])

    async def _remove(
        self,
        script: Script,
        number: int,
        counter: str,
        args: Sequence[str | bytes | int],
        keys: Sequence[str],
    ) -> Removed:
        if number > MAX_ENTRIES:
            raise ValueError(f"{number} entries at once; the bound is {MAX_ENTRIES}")
        if not number:
            return Removed()
        self._calls += 1
        receipt = f"{self._stream}:receipt:{self._operation}"
        head: list[str | bytes | int] = [f"{self._operation}-{self._calls}", RECEIPT_SECONDS, counter]
        call = self._sent(script, [self._stream, receipt, self._table, *keys], [*head, *args])
        removed, held = await uninterrupted(call)
        return Removed(removed, held, number - removed - held)

    async def _sent(
        self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]
    ) -> tuple[int, int]:
        backoff = Backoff(self._stream)
        for left in reversed(range(TRIES)):
            try:
                removed, held = await self._client.channel.run(script, keys, args)
            except StreamError as exc:
                if not exc.retryable or not left:
                    raise
                await backoff.wait(exc, asyncio.Event())
            else:
                backoff.reset()
                return removed, held
        raise AssertionError("the last try returns or raises")
