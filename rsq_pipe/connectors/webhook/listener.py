"""Listener: a web server in its own thread, whose requests are answered once they are stored."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import hmac
import logging
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from rsq_pipe.connectors.loop_thread import LoopThread
from rsq_pipe.connectors.outage import report_outage
from rsq_pipe.connectors.webhook.bodies import records_in
from rsq_pipe.connectors.webhook.port_holder import listening
from rsq_pipe.connectors.webhook.settings import WebhookSettings
from rsq_pipe.error_text import one_line
from rsq_pipe.errors import SourceError

log = structlog.get_logger("rsq_pipe")

REMEMBERED = 10_000
"""Number of ids of stored requests that are remembered; a request with one of them is not stored again."""

MAX_ID = 255
"""Maximum characters of a request's id."""

_TOGETHER = 4 * 1024 * 1024  # bytes of requests that are stored together, plus the one that exceeds it
_PORT_WAIT = 10.0  # seconds in which the previous owner of the port usually releases it
_RETRY = 0.2
_LATER = {"Retry-After": "1"}


class Request(Struct):
    """Hold one request that waits to be stored."""

    id: str
    records: list[dict[str, Any]]
    size: int
    stored: asyncio.Future[bool]


class Listener:
    """
    Accept requests, at most as many as may wait.

    Args:
        settings: Where to listen, and for which requests.
        stage: The stage, for messages.
    """

    def __init__(self, settings: WebhookSettings, stage: str) -> None:
        self._settings = settings
        self._stage = stage
        self._thread = LoopThread("webhook")
        self._waiting: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._open: set[asyncio.Future[bool]] = set()
        self._known: dict[str, None] = {}
        self._underway: set[str] = set()
        self._reading = 0
        self._closing = threading.Lock()
        self._closed = False
        self._runner: web.AppRunner | None = None
        self._other = ""
        self.was_away = False
        """Whether it was reported that it cannot listen."""

    def start(self, closing: threading.Event) -> bool:
        """
        Start listening once no other process listens at the address; return False if stopped before that.

        The other process may be a paused one of this pipeline, which stops once it continues.

        Raises:
            SourceError: It cannot listen at the address for another reason.
        """
        self._thread.run(self._prepare())
        began = time.monotonic()
        while not closing.is_set():
            try:
                self._thread.run(self._listen())
            except OSError as exc:
                if time.monotonic() - began > _PORT_WAIT:
                    what = f"cannot listen at {self._settings.listen}"
                    if exc.errno != errno.EADDRINUSE:
                        self.close()
                        what = f"{what}: {exc.strerror or exc}"
                        raise SourceError(f"stage {self._stage!r}: {what}", stage=self._stage) from exc
                    self._wait_for(what, exc)
                closing.wait(_RETRY)
            else:
                url = f"http://{self._settings.listen}{self._settings.path}"
                log.info("listening for requests", stage=self._stage, url=url)
                return True
        self.close()
        return False

    def _wait_for(self, what: str, exc: OSError) -> None:
        """Report that another process listens at the address; it is looked for, and logged, once."""
        # Not by a SourceBackoff, which would report the bare error each time, without who has the port.
        if not self.was_away:
            self.was_away = True
            port = int(self._settings.listen.rpartition(":")[2])
            self._other = f"{what}: {listening(port) or exc.strerror or exc}"
            log.warning("%s; trying again", self._other, stage=self._stage)
        report_outage(self._other)

    def take(self, size: int) -> list[Request]:
        """Wait for requests, and return those that have arrived, of about `size` records; none at the end."""
        found: list[Request] = []
        records = read = 0
        while records < size and read < _TOGETHER:
            try:
                one = self._waiting.get(block=not found)
            except queue.Empty:
                break
            if one is None:
                self._waiting.put(None)
                break
            found.append(one)
            records += len(one.records)
            read += one.size
        return found

    def settled(self, requests: Sequence[Request], *, stored: bool) -> None:
        """Note that requests are stored, or are not: they are answered."""

        def answer() -> None:
            for one in requests:
                if not one.stored.done():
                    one.stored.set_result(stored)

        if not self._thread.loop.is_closed():
            self._thread.loop.call_soon_threadsafe(answer)

    def close(self) -> None:
        """Answer all waiting requests with 503, and stop listening."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
            self._thread.run(self._stop())
            self._thread.close()

    async def _prepare(self) -> None:
        app = web.Application(client_max_size=self._settings.max_body)
        app.router.add_post(self._settings.path, self._answer)
        self._runner = web.AppRunner(app, access_log=None, logger=_quiet_logger(), shutdown_timeout=1.0)
        await self._runner.setup()

    async def _listen(self) -> None:
        assert self._runner is not None
        host, _, port = self._settings.listen.rpartition(":")
        site = web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_address=True)
        try:
            await site.start()
        except OSError:
            await site.stop()  # or the runner keeps it
            raise

    async def _stop(self) -> None:
        for future in [*self._open]:
            if not future.done():
                future.set_result(False)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        if not self._may(request.headers.get("Authorization", "")):
            return _refusal(401, "the token is missing or wrong")
        if self._closed or len(self._open) + self._reading >= self._settings.max_requests:
            return _refusal(503, "too many requests wait to be stored", _LATER)
        self._reading += 1  # until it waits to be stored, and counts as one of those
        try:
            one = await self._read(request)
        except TimeoutError:
            return _refusal(408, "it has not arrived within `timeout`")
        except web.RequestPayloadError as exc:
            return _refusal(400, f"its body cannot be read: {_unreadable(exc)}")
        finally:
            self._reading -= 1
        if isinstance(one, web.Response):
            return one
        self._put(one)
        try:
            async with asyncio.timeout(self._settings.timeout):
                stored = await asyncio.shield(one.stored)
        except TimeoutError:
            return _refusal(503, "it is not stored yet", _LATER)
        return (
            web.json_response({"stored": len(one.records)})
            if stored
            else _refusal(503, "it was not stored", _LATER)
        )

    async def _read(self, request: web.Request) -> Request | web.Response:
        """Read a request; or answer it, if it is not to be stored."""
        async with asyncio.timeout(self._settings.timeout):
            body = await request.read()  # 413 if it is too large
        if not self._is_signed(request.headers.get(self._settings.hmac_header, ""), body):
            return _refusal(401, "the signature is missing or wrong")
        name = request.headers.get(self._settings.id_header, "").strip()
        if len(name) > MAX_ID or not name.isprintable():
            return _refusal(
                400, f"the id is longer than {MAX_ID} characters, or holds others than can be printed"
            )
        try:
            records = records_in(body, request.content_type)
        except ValueError as exc:
            return _refusal(400, str(exc))
        if name in self._known or not records:
            return web.json_response({"stored": 0})
        if name and name in self._underway:
            return _refusal(409, "a request with this id waits to be stored", _LATER)
        return Request(name, records, len(body), self._thread.loop.create_future())

    def _put(self, one: Request) -> None:
        """Let a request be stored; until then it counts, even if its client has disconnected."""
        self._open.add(one.stored)
        if one.id:
            self._underway.add(one.id)

        def ended(stored: asyncio.Future[bool]) -> None:
            self._open.discard(stored)
            self._underway.discard(one.id)
            if one.id and stored.result():
                self._remember(one.id)

        one.stored.add_done_callback(ended)
        self._waiting.put(one)

    def _may(self, given: str) -> bool:
        wanted = f"Bearer {self._settings.token}"
        return not self._settings.token or hmac.compare_digest(_raw(given), wanted.encode())

    def _is_signed(self, given: str, body: bytes) -> bool:
        if not self._settings.hmac_secret:
            return True
        wanted = hmac.new(self._settings.hmac_secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(_raw(given.removeprefix("sha256=").lower()), wanted.encode())

    def _remember(self, name: str) -> None:
        self._known[name] = None
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]


def _raw(header: str) -> bytes:
    """Return a header as it was sent: any bytes."""
    return header.encode(errors="surrogateescape")


def _refusal(status: int, what: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": what}, status=status, headers=headers)


def _quiet_logger() -> logging.Logger:
    """Return the web server's logger, without a traceback for each request that cannot be read."""
    logger = logging.getLogger("rsq_pipe.webhook")
    logger.addFilter(_shorten)  # once, however often it is added
    return logger


def _unreadable(exc: BaseException) -> str:
    """Return why a request cannot be read."""
    return one_line(exc).removeprefix("400, message: ")


def _shorten(record: logging.LogRecord) -> bool:
    """Replace the traceback of what a client has sent by one line."""
    exc = record.exc_info[1] if record.exc_info else None
    if isinstance(exc, HttpProcessingError | web.RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a request cannot be read, and is refused: %s", (_unreadable(exc),)
        record.exc_info = None
    return True
