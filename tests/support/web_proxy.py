"""WebProxy: an HTTP proxy in a thread of the tests: it leads every host to one service on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from base64 import b64encode
from typing import Self

TO_END = 10.0


class WebProxy:
    """
    Pass on requests, and what goes through CONNECT, as proxies of companies do.

    Args:
        port: The port on loopback to which all of it goes, whatever the host.
        login: `user:password` that each request has to give; empty for none.
    """

    def __init__(self, port: int, login: str = "") -> None:
        self._target = port
        self._expected = f"Basic {b64encode(login.encode()).decode()}" if login else ""
        self.asked: list[str] = []
        """What was asked for: `GET http://host/path`, `CONNECT host:443`."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(TO_END)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(TO_END)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TO_END)
        self._loop.close()

    @property
    def hosts(self) -> set[str]:
        """The hosts asked for, without port and path."""
        return {one.split()[1].removeprefix("http://").split("/")[0].split(":")[0] for one in self.asked}

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(task := asyncio.create_task(self._serve(reader, writer)))
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                first, *lines = head.split("\r\n")
                method, where, version = first.split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                self.asked.append(f"{method} {where}")
                if headers.get("proxy-authorization", "") != self._expected.lower():
                    writer.write(
                        b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )
                    return
                target, onward = await asyncio.open_connection("127.0.0.1", self._target)
                if method == "CONNECT":
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                else:  # each request over a connection of its own
                    path = "/" + where.removeprefix("http://").partition("/")[2]
                    kept = [line for line in lines if line and not line.lower().startswith(("proxy", "conn"))]
                    onward.write(
                        "\r\n".join(
                            [f"{method} {path} {version}", *kept, "Connection: close", "", ""]
                        ).encode()
                    )
                await asyncio.gather(_pump(reader, onward), _pump(target, writer))
                return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode().removesuffix("\r\n\r\n")
    except asyncio.IncompleteReadError:
        return ""


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
