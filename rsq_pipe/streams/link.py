"""Link: one connection that sends several commands in one write and reads their raw replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError

from rsq_pipe.errors import without_frames
from rsq_pipe.streams.faults import translate

Command: TypeAlias = Sequence[str | bytes | float]


class Link:
    """
    Talk to one server over one connection. Not for use by two tasks at once.

    redis-py provides connecting, TLS, login and hiredis; commands are packed here, in C, because its
    asyncio packer is Python and costs more than the server does.

    Args:
        connection: Not connected yet.
        address: The server's.
        server: The address by which the user named it, where that stands for several.
    """

    def __init__(
        self, connection: Connection | UnixDomainSocketConnection, address: str, server: str = ""
    ) -> None:
        self._connection = connection
        self.address = address
        self.server = server or address
        self.is_open = False
        """Whether the connection was opened and not closed here; the server may have closed it."""

    async def exchange(
        self, commands: Sequence[Command], *, timeout: float | None, was_idle: bool = False
    ) -> list[Any]:
        """
        Send commands in one write and read their replies, bytes undecoded.

        Args:
            commands: The commands, in order.
            timeout: Maximum seconds for the whole exchange; None for no limit.
            was_idle: Whether to reconnect if the connection cannot be reused: the server has closed it, or it
                holds unread data, which would be taken for a reply.

        Returns:
            One reply per command; an error reply is an item of type ResponseError, not raised.

        Raises:
            ServerUnavailableError, ServerTimeoutError: Which commands were applied is unknown.

        Cancellation: closes the connection, since its replies no longer match its commands.
        """
        # hiredis declares a tuple of one item and takes any number.
        packed = [hiredis.pack_command(tuple(command)) for command in commands]  # type: ignore[arg-type]
        replies: list[Any] = []
        try:
            async with asyncio.timeout(timeout):
                if was_idle and self.is_open:
                    is_quiet = False
                    with contextlib.suppress(Exception):  # whatever it is, the connection cannot be reused
                        # `can_read` takes one that ended by an error, such as a reset, for a quiet one.
                        reader = self._connection._reader
                        is_broken = reader is None or reader.exception() is not None
                        is_quiet = not is_broken and not await self._connection.can_read()
                    if not is_quiet:
                        await self.close()
                await self._connection.send_packed_command(packed)  # connects if necessary
                self.is_open = True
                while len(replies) < len(commands):
                    try:
                        replies.append(await self._connection.read_response(disable_decoding=True))
                    except ResponseError as exc:
                        replies.append(without_frames(exc))
        except BaseException as exc:
            await self._fail(exc)
            raise
        return replies

    async def open(self, *, timeout: float | None = None) -> None:
        """Connect and log in now, rather than with the first command."""
        try:
            async with asyncio.timeout(timeout):
                await self._connection.connect()  # type: ignore[no-untyped-call]
                self.is_open = True
        except BaseException as exc:
            await self._fail(exc)
            raise

    async def close(self) -> None:
        """Close the connection at once; idempotent."""
        self.is_open = False
        try:
            await self._connection.disconnect(nowait=True)
        except Exception:  # noqa: BLE001  redis-py raises when closing takes too long; nothing is left to save
            return

    async def _fail(self, exc: BaseException) -> None:
        """Close the connection, whose replies would be misread, and raise the translated error."""
        await self.close()
        if isinstance(exc, RedisError | OSError | EOFError):  # TimeoutError is an OSError
            raise translate(exc, self.address, self.server) from exc


def checked(reply: Any, address: str) -> Any:
    """Return a reply, or raise it if it is an error."""
    if isinstance(reply, ResponseError):
        raise translate(reply, address) from reply
    return reply
