"""The limit: the minimum of commands that three stages need, written and read by hand, and nothing else."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import hiredis

GROUP = b"g"
BATCH = 1000


class Connection:
    """Send commands as bytes and parse replies; commands are answered in the order they were sent."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._replies = hiredis.Reader()

    def send(self, raw: bytes) -> None:
        """Write commands."""
        self._socket.sendall(raw)

    def reply(self) -> Any:
        """Read one reply."""
        while (reply := self._replies.gets()) is False:
            self._replies.feed(self._socket.recv(1 << 20))
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def spelled(*words: bytes) -> bytes:
    """Encode one command."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class Stage:
    """One stage: add a batch to the next stream, acknowledge it, and ask for the next one."""

    def __init__(self, url: str, source: bytes, target: bytes) -> None:
        self.connection = Connection(url)
        self.connection.send(spelled(b"XGROUP", b"CREATE", source, GROUP, b"0", b"MKSTREAM"))
        self.connection.reply()
        self._source = source
        self._head = spelled(b"XADD", target, b"*", b"data")[:-2].replace(b"*4", b"*5", 1)
        self._read = spelled(
            *(b"XREADGROUP", b"GROUP", GROUP, b"c", b"COUNT", b"%d" % BATCH, b"STREAMS", source, b">")
        )
        self._answers = 0
        self.done = 0
        self.connection.send(self._read)

    def step(self) -> None:
        """Pass one batch on; the server works on it while the next stage takes its turn."""
        for _ in range(self._answers):
            self.connection.reply()
        self._answers = 0
        found = self.connection.reply()
        if not found:
            self.connection.send(self._read)
            return
        entries = found[0][1]
        head = self._head
        raw = [b"%b\r\n$%d\r\n%b\r\n" % (head, len(fields[1]), fields[1]) for _, fields in entries]
        raw.append(spelled(b"XACK", self._source, GROUP, *(entry[0] for entry in entries)))
        raw.append(self._read)
        self.connection.send(b"".join(raw))
        self._answers = len(entries) + 1
        self.done += len(entries)


def hand_on(url: str, streams: list[str], total: int) -> None:
    """Move records from the first stream to the last, through all in between, until the last holds them."""
    names = [name.encode() for name in streams]
    stages = [Stage(url, source, target) for source, target in pairwise(names)]
    while stages[-1].done < total:
        for stage in stages:
            stage.step()
    for stage in stages:
        stage.connection.close()
