"""Serving: runs the page on an address until stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from rsq_pipe.page.app import create_app
from rsq_pipe.page.site import Site

LINGER = 3
"""Seconds that running requests get to end after a stop."""

MAX_CONNECTIONS = 500

SILENT = 10.0
"""Seconds, up to twice as many, for which a connection may have no complete request."""


LOST = 30.0
"""Seconds after which a browser that takes nothing any more is given up: its network is gone."""


class PageServer:
    """
    Run the page.

    Args:
        app: The application.
        listener: A listening socket; closed at the end.
    """

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            http=_Connection,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=LINGER,
            limit_concurrency=MAX_CONNECTIONS,
        )
        self._app = app
        self._listener = listener
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # other systems than Linux give up by themselves, later
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(LOST * 1000))
        self._server = _Server(config)
        self._stopping = asyncio.Event()

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """
        Answer requests until `stop`.

        Args:
            ready: Called once it answers.
        """
        serving = asyncio.ensure_future(self._server.serve(sockets=[self._listener]))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not self._server.started and not serving.done():
                await asyncio.wait([serving], timeout=0.01)
            if self._server.started:
                ready()
            await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._app.state.site.close()
            self._server.should_exit = True
            await serving

    def stop(self) -> None:
        """End all requests in progress, and return from `run`; idempotent."""
        self._stopping.set()


class _Connection(H11Protocol):
    """Close a connection that sends no complete request: their number is limited."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start checking the connection from time to time."""
        super().connection_made(transport)
        self._look_again(None)

    def _look_again(self, before: RequestResponseCycle | None) -> None:
        self._look = self.loop.call_later(SILENT, self._check, before)

    def _check(self, before: RequestResponseCycle | None) -> None:
        is_idle = before is None or before.response_complete
        if is_idle and self.cycle is before:
            self.transport.close()
        else:
            self._look_again(self.cycle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop checking."""
        self._look.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """Leave signals to the caller."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


async def serve(
    site: Site, listener: socket.socket, ready: Callable[[], None], *, watched: int | None = None
) -> None:
    """
    Serve the page until SIGTERM or SIGINT.

    Args:
        site: The shared objects of the routes.
        listener: A listening socket; closed at the end.
        ready: Called once it answers.
        watched: A pipe; when its other end closes, the process that started this one is gone.
    """
    server = PageServer(create_app(site), listener)
    loop = asyncio.get_running_loop()

    def gone() -> None:
        assert watched is not None
        loop.remove_reader(watched)
        server.stop()

    if watched is not None:
        loop.add_reader(watched, gone)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    try:
        await server.run(ready)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
