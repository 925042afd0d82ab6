"""Proxy: sits in front of a server and cuts, loses or withholds its replies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65536


@dataclass(slots=True, eq=False)
class Link:
    """One client's connection: its two ends, and whether the next reply to it is to be lost."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    lose_reply: bool = False

    def close(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """
    Forward connections on a TCP port of 127.0.0.1 to a server.

    Each of the `drop_...` methods works once, on the first connection that matches: the server has executed
    the command, and the client loses its connection instead of reading the reply. The event they return
    is set when that has happened.

    Args:
        target: The server's URL, `unix:///path` or `redis://host:port`.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._listener: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._request_rule: tuple[bytes, asyncio.Event] | None = None
        self._reply_rule: tuple[Callable[[bytes], int | None], asyncio.Event] | None = None
        self._hold_rule: tuple[bytes, asyncio.Event, asyncio.Event] | None = None
        self._lost = asyncio.Event()
        self.port = 0
        self.accepted = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def drop_reply_to(self, needle: bytes) -> asyncio.Event:
        """Lose the reply to the next request whose bytes contain `needle`, such as `b"EVALSHA"` or a key."""
        self._request_rule = (needle, asyncio.Event())
        return self._request_rule[1]

    def drop_next_reply_containing(self, needle: bytes) -> asyncio.Event:
        """Lose the next reply whose bytes contain `needle`."""
        return self._lose(lambda data: 0 if needle in data else None)

    def hold_next_reply_containing(self, needle: bytes) -> tuple[asyncio.Event, asyncio.Event]:
        """
        Keep back the next reply whose bytes contain `needle`, and all that follows it on its connection.

        Returns:
            Set when that has happened; and to be set for the reply to go on.
        """
        self._hold_rule = (needle, asyncio.Event(), asyncio.Event())
        return self._hold_rule[1:]

    def drop_after(self, size: int) -> asyncio.Event:
        """Let the next `size` bytes of replies through, then cut the connection that has more."""
        left = size

        def rule(data: bytes) -> int | None:
            nonlocal left
            if len(data) > left:
                return left
            left -= len(data)
            return None

        return self._lose(rule)

    def cut(self) -> None:
        """Break every connection; new ones are accepted."""
        for link in tuple(self._links):
            link.close()

    def hang(self) -> None:
        """Accept connections and requests, but pass nothing on in either direction."""
        self._open.clear()

    async def refuse(self) -> None:
        """Break every connection and refuse new ones, as a host without a server does."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()

    async def forward(self) -> None:
        """Work again after hang() or refuse()."""
        self._open.set()
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        await self.refuse()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.forward()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _lose(self, rule: Callable[[bytes], int | None]) -> asyncio.Event:
        happened = asyncio.Event()
        self._reply_rule = (rule, happened)
        return happened

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            replies, server = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, server)
        self._links.add(link)
        try:
            # A connection is over when either side is.
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._requests(reader, link))
                pumps.create_task(self._replies(replies, link))
        finally:
            link.close()
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.scheme == "unix":
            return await asyncio.open_unix_connection(self._target.path)
        return await asyncio.open_connection(self._target.hostname, self._target.port)

    async def _requests(self, reader: asyncio.StreamReader, link: Link) -> None:
        seen = b""
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self._request_rule is not None:
                    needle, happened = self._request_rule
                    seen = seen[-len(needle) :] + data
                    if needle in seen:
                        self._request_rule, self._lost, link.lose_reply = None, happened, True
                link.server.write(data)
                await link.server.drain()
        link.close()

    async def _replies(self, reader: asyncio.StreamReader, link: Link) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self._hold_rule is not None and self._hold_rule[0] in data:
                    (_, held, goes_on), self._hold_rule = self._hold_rule, None
                    held.set()
                    await goes_on.wait()
                keep = self._kept(data, link)
                link.client.write(data if keep is None else data[:keep])
                await link.client.drain()
                if keep is not None:
                    # FIN, not a reset: what was let through must still arrive.
                    link.client.close()
                    self._lost.set()
                    break
        link.server.transport.abort()
        link.client.close()

    def _kept(self, data: bytes, link: Link) -> int | None:
        """Return how many bytes of a reply go through before the cut; None for all, without a cut."""
        if link.lose_reply:
            return 0
        if self._reply_rule is None:
            return None
        rule, happened = self._reply_rule
        if (keep := rule(data)) is not None:
            self._reply_rule, self._lost = None, happened
        return keep
