"""StreamClient: the commands of Redis Streams, with our errors and without silent retries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from redis.asyncio.connection import Connection, SSLConnection

from rsq_pipe.errors import GroupLostError, SettleError, StreamFullError
from rsq_pipe.streams import wire
from rsq_pipe.streams.channel import Channel, LinkPool
from rsq_pipe.streams.decoding import undecoded
from rsq_pipe.streams.endpoint import CLIENTS, Endpoint
from rsq_pipe.streams.entry import fields_of, range_reply, read_reply
from rsq_pipe.streams.headers import check_data
from rsq_pipe.streams.link import Command, checked
from rsq_pipe.streams.message import NO_HEADERS, StreamMessage
from rsq_pipe.streams.redelivery import START, TOGETHER, Claim, Redelivery, Rules
from rsq_pipe.streams.script import REDELIVER
from rsq_pipe.streams.settlement import Counters, Output, Part, Position, Settled, Settlement
from rsq_pipe.streams.stats import (
    ConsumerInfo,
    GroupInfo,
    PendingEntry,
    consumer_info,
    group_info,
    pending_entry,
)
from rsq_pipe.streams.waiting import uninterrupted

COMMAND_TIMEOUT = 10.0
"""Seconds a command may take, including connecting, if the client was given no `socket_timeout`."""

MAX_CONNECTIONS = 64


class StreamClient:
    """
    Talk to one server, a cluster, or the primary that sentinels watch.

    Connections are opened when needed and shared by clients of one endpoint and event loop.

    Args:
        host, port, db, username, password, ssl: The server's address and the login.
        prefix: Put before every stream's name: the key is `{prefix}_{stream}`.
        max_connections: Maximum commands in progress; further ones wait up to `pool_timeout` seconds.
        client_name: The name shown by CLIENT LIST.
        socket_timeout: Seconds a command may take; a blocking read may take its block time longer.
        socket_connect_timeout: Seconds connecting may take.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        username: str | None = None,
        password: str | None = None,
        prefix: str = "",
        max_connections: int | None = None,
        pool_timeout: float = 5,
        client_name: str | None = None,
        ssl: bool = False,
        socket_timeout: float | None = None,
        socket_connect_timeout: float = 5,
        socket_keepalive: bool = True,
        **settings: Any,
    ) -> None:
        settings |= {"host": host, "port": port, "db": db, "username": username, "password": password}
        settings |= {"client_name": client_name, "socket_keepalive": socket_keepalive}
        settings |= {"socket_connect_timeout": socket_connect_timeout}
        self._set_up(
            Endpoint(settings, SSLConnection if ssl else Connection),
            prefix=prefix,
            max_connections=max_connections,
            pool_timeout=pool_timeout,
            socket_timeout=socket_timeout,
        )

    @classmethod
    def from_url(cls, url: str, **settings: Any) -> Self:
        """
        Make a client from a URL: `redis://`, `unix://`, `redis+cluster://`, `redis+sentinel://`.

        Raises:
            ValueError: The URL is malformed, or a setting is unknown.
        """
        own = {name: settings.pop(name) for name in CLIENTS if name in settings}
        settings.setdefault("socket_connect_timeout", 5)
        endpoint = Endpoint.from_url(url, **settings)
        # Settings in the URL's query that are the client's, not a connection's.
        settings = dict(endpoint.settings)
        own |= {name: settings.pop(name) for name in CLIENTS if name in settings}
        return cls._of(replace(endpoint, settings=settings), **own)

    @classmethod
    def from_cluster(
        cls,
        startup_nodes: Sequence[Any],
        password: str | None = None,
        username: str | None = None,
        prefix: str = "",
        ssl: bool = False,
        **settings: Any,
    ) -> Self:
        """Make a client for a cluster from some of its nodes: `(host, port)` pairs or mappings."""
        own = {name: settings.pop(name) for name in CLIENTS if name in settings}
        settings |= {"password": password, "username": username}
        settings.setdefault("socket_connect_timeout", 5)
        return cls._of(Endpoint.from_nodes(startup_nodes, ssl=ssl, **settings), prefix=prefix, **own)

    @classmethod
    def _of(cls, endpoint: Endpoint, **own: Any) -> Self:
        client = cls.__new__(cls)
        client._set_up(endpoint, **own)
        return client

    def _set_up(
        self,
        endpoint: Endpoint,
        *,
        prefix: str = "",
        max_connections: int | None = None,
        pool_timeout: float = 5,
        socket_timeout: float | None = None,
    ) -> None:
        endpoint.check()
        self.prefix = prefix
        self.channel = Channel(
            endpoint,
            bound=MAX_CONNECTIONS if max_connections is None else max_connections,
            patience=pool_timeout,
            timeout=COMMAND_TIMEOUT if socket_timeout is None else socket_timeout,
        )

    def key(self, stream: str) -> str:
        """Build a stream's key."""
        return f"{self.prefix}_{stream}" if self.prefix else stream

    # Streams

    async def push(self, stream: str, data: str | bytes, headers: Mapping[str, str] = NO_HEADERS) -> str:
        """
        Append one encoded record and return its entry id.

        Raises:
            EncodeError: A header is named `data`.
            ServerUnavailableError: Whether it was stored is unknown; StreamProducer can find out.

        Delivery: sent once.
        Redis: XADD.
        """
        return (await self.push_many(stream, [data], [headers]))[0]

    async def push_many(
        self, stream: str, data: Sequence[str | bytes], headers: Sequence[Mapping[str, str]] = ()
    ) -> list[str]:
        """Append encoded records in one write and return their entry ids, in order; otherwise like `push`."""
        key = self.key(stream)
        commands: list[Command] = []
        for index, item in enumerate(data):
            raw = item.encode() if isinstance(item, str) else item
            beside = headers[index] if index < len(headers) else NO_HEADERS
            check_data(beside)
            fields = fields_of(raw, beside)
            commands.append(["XADD", key, "*", *fields])
        replies = await self.channel.exchange(commands, key=key)
        return [checked(reply, self.channel.address).decode() for reply in replies]

    async def create_group(self, stream: str, group: str, start_id: str = "0") -> bool:
        """Create a consumer group and its stream; return False if the group already exists."""
        key = self.key(stream)
        try:
            await self.channel.execute("XGROUP", "CREATE", key, group, start_id, "MKSTREAM", key=key)
        except (SettleError, StreamFullError):  # it exists, or a full server refused before it looked
            if any(info.name == group for info in await self.group_info(stream)):
                return False
            raise
        return True

    async def read(
        self, stream: str, group: str, consumer: str, count: int = 100, block_ms: int = 0
    ) -> list[StreamMessage]:
        """
        Read new entries for a consumer, payload undecoded.

        Args:
            count: Maximum number of entries.
            block_ms: Milliseconds to wait for the first one; 0 returns at once.

        Raises:
            GroupLostError: There is no such group.
            ServerUnavailableError: Entries may have been delivered; they are pending for `consumer`.

        Delivery: each entry to one consumer of the group, pending until acknowledged or settled.
        Cancellation: may leave delivered entries pending.
        Redis: XREADGROUP.
        """
        key = self.key(stream)
        block: Command = ["BLOCK", block_ms] if block_ms > 0 else []
        reply = await self.channel.execute(
            *("XREADGROUP", "GROUP", group, consumer, "COUNT", count, *block, "STREAMS", key, ">"),
            key=key,
            timeout=self.channel.timeout + block_ms / 1000,
        )
        return [undecoded(entry) for entry in read_reply(reply).entries]

    async def ack(self, stream: str, group: str, ids: Sequence[str]) -> int:
        """Acknowledge entries; return how many were pending. XACK does not check the owner: see `settle`."""
        if not ids:
            return 0
        key = self.key(stream)
        return int(await self.channel.execute("XACK", key, group, *ids, key=key))

    async def autoclaim(
        self,
        stream: str,
        group: str,
        consumer: str,
        min_idle_ms: int,
        count: int,
        max_passes: int | None = None,
    ) -> list[StreamMessage]:
        """
        Take over entries whose consumer has shown no sign of life, payload undecoded.

        Args:
            min_idle_ms: Milliseconds without a sign of life.
            count: Entries examined in one pass.
            max_passes: Maximum number of passes; None scans the whole pending list.

        Delivery: counts as one more delivery of each entry.
        Redis: XAUTOCLAIM ... JUSTID, then redeliver.lua.
        """
        found: list[StreamMessage] = []
        cursor, passes = START, 0
        while max_passes is None or passes < max_passes:
            claim = await self.claim(stream, group, consumer, min_idle_ms, count, cursor)
            again = await self.redeliver(stream, group, consumer, claim.ids)
            found += [undecoded(entry) for entry in again.entries]
            passes += 1
            if claim.cursor in (START, cursor):  # the end, or a server whose cursor does not move
                break
            cursor = claim.cursor
        return found

    async def claim(
        self, stream: str, group: str, consumer: str, min_idle_ms: int, count: int, cursor: str = START
    ) -> Claim:
        """
        Take over the ids of idle entries without counting a delivery, in one bounded pass.

        Redis: XAUTOCLAIM ... JUSTID; understands the replies of 6.2 and of 7.
        """
        key = self.key(stream)
        reply = await self.channel.execute(
            "XAUTOCLAIM", key, group, consumer, min_idle_ms, cursor, "COUNT", count, "JUSTID", key=key
        )
        return Claim.of(reply)

    async def redeliver(
        self, stream: str, group: str, consumer: str, ids: Sequence[str], rules: Rules = TOGETHER
    ) -> Redelivery:
        """
        Deliver entries that the consumer owns again, as many as the rules allow, and count the delivery.

        Redis: redeliver.lua, which checks the owner first.
        """
        key = self.key(stream)
        reply = await self.channel.run(REDELIVER, [key], [group, consumer, *rules, *ids])
        return Redelivery.of(key, reply)

    async def pending_range(
        self,
        stream: str,
        group: str,
        start: str = "-",
        end: str = "+",
        count: int = 100,
        consumer: str | None = None,
        min_idle_ms: int = 0,
    ) -> list[PendingEntry]:
        """List delivered, unacknowledged entries; XPENDING."""
        key = self.key(stream)
        idle: Command = ["IDLE", min_idle_ms] if min_idle_ms else []
        owner = [consumer] if consumer is not None else []
        reply = await self.channel.execute("XPENDING", key, group, *idle, start, end, count, *owner, key=key)
        return [pending_entry(item) for item in reply]

    async def fetch_by_ids(self, stream: str, ids: Sequence[str]) -> list[StreamMessage]:
        """Read entries by id, payload undecoded; ids no longer in the stream are left out."""
        key = self.key(stream)
        replies = await self.channel.exchange([["XRANGE", key, i, i] for i in ids], key=key)
        address = self.channel.address
        return [undecoded(entry) for reply in replies for entry in range_reply(key, checked(reply, address))]

    async def stream_len(self, stream: str) -> int:
        """Count a stream's entries; 0 if the stream does not exist."""
        key = self.key(stream)
        return int(await self.channel.execute("XLEN", key, key=key))

    async def group_info(self, stream: str) -> list[GroupInfo]:
        """Describe a stream's groups; none if the stream does not exist."""
        key = self.key(stream)
        try:
            reply = await self.channel.execute("XINFO", "GROUPS", key, key=key)
        except SettleError as exc:
            if "no such key" in exc.reply:
                return []
            raise
        return [group_info(flat) for flat in reply]

    async def consumer_info(self, stream: str, group: str) -> list[ConsumerInfo]:
        """Describe a group's consumers; raise GroupLostError if the group does not exist."""
        key = self.key(stream)
        try:
            reply = await self.channel.execute("XINFO", "CONSUMERS", key, group, key=key)
        except SettleError as exc:
            if "no such key" in exc.reply:
                raise GroupLostError(f"there is no stream {key!r}", stream=key, group=group) from exc
            raise
        return [consumer_info(flat) for flat in reply]

    # Settlement

    async def settle(self, settlement: Settlement, *, group: str, consumer: str) -> Settled:
        """
        Write outputs, retries and dead letters, then acknowledge their inputs, in one script.

        Args:
            settlement: What becomes of each entry of one batch; at most 1,000 entries, all keys in one slot.
            group, consumer: The owner of the inputs; entries that are no longer its own are fenced.

        Returns:
            The parts committed and those fenced (already settled, or taken over by another consumer).

        Raises:
            ServerUnavailableError: Whether it was applied is unknown. Calling again is safe.
            SettleError: A key holds another type; nothing was written or acknowledged.
            GroupLostError: An input's stream or group is gone; nothing was written.

        Delivery: one set of outputs per input entry while the server keeps what it accepted.
        Cancellation: runs to the end; cancel between settlements.
        Redis: EVALSHA settle.lua; all keys in one slot.
        """
        if not settlement.parts and settlement.position is None and settlement.state is None:
            return Settled(())
        script, keys, args = wire.pack(settlement, group, consumer)
        if not keys:  # empty parts
            return Settled(settlement.parts)
        reply = await uninterrupted(self.channel.run(script, keys, args))
        return wire.unpack(reply, settlement)

    async def ingest(
        self,
        position: Position,
        outputs: Sequence[Output],
        *,
        dead: Sequence[Output] = (),
        counters: Counters | None = None,
    ) -> Settled:
        """
        Append a source's records and move its stored position, in one step, if nothing else has moved it.

        Returns:
            `.refused` holds the stored position if it is neither the expected nor the new one.

        Raises: Like `settle`.

        Delivery: records between two positions enter once.
        Cancellation: runs to the end.
        Redis: EVALSHA settle.lua, without inputs.
        """
        part = Part(outputs=outputs, dead=dead)
        return await self.settle(Settlement([part], position, counters), group="", consumer="")

    async def close(self) -> None:
        """Release the running loop's connections; other clients of the endpoint keep theirs. Idempotent."""
        await self.channel.close()

    @classmethod
    async def close_all(cls) -> None:
        """Close the running loop's connections of every client; a client used again opens new ones."""
        await LinkPool.close_all()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
