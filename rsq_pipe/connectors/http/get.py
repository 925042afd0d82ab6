"""Get: one page of a service, requested until it answers."""

from __future__ import annotations

import asyncio
import hashlib
from codecs import BOM_UTF8
from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec
import structlog
from msgspec import Struct

from rsq_pipe.connectors.http.answers import cut, is_transient, retry_after
from rsq_pipe.connectors.http.login import Login
from rsq_pipe.connectors.http.options import ReadSettings
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.settings import shown
from rsq_pipe.connectors.http.web_client import check_host, refusal, session, why
from rsq_pipe.connectors.outage import SILENT, SourceBackoff, report_outage
from rsq_pipe.error_text import one_line
from rsq_pipe.errors import EndpointRefusedError, EndpointUnavailableError, SourceError
from rsq_pipe.redaction import redact
from rsq_pipe.streams.wording import unreadable

FIRST, LONGEST = 0.1, 60.0
"""Seconds between two attempts: the first pause, doubled up to the longest, unless the service names one."""

_REDIRECTS = range(300, 400)

_LOCATION = "location"
"""The link of a redirect, which is not followed."""


class Page(Struct, frozen=True):
    """Hold one answer: its content, the addresses in its header `Link`, and its digest."""

    answer: Any
    links: Mapping[str, str]
    digest: str


class Get:
    """Request pages from one service."""

    def __init__(self, settings: ReadSettings, stage: str) -> None:
        self._settings = settings
        self._stage = stage
        self._login = Login(stage, settings.auth, settings.allow)
        self._session: aiohttp.ClientSession | None = None
        self._log = structlog.get_logger("rsq_pipe").bind(stage=stage)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def page(self, url: str, parameters: Mapping[str, str]) -> Page:
        """
        Request a page until it arrives.

        Raises:
            SourceError: The service refuses it, or its answer is not JSON.
        """
        backoff = SourceBackoff(FIRST, LONGEST)
        while True:
            try:
                return await self._waited_for(url, parameters)
            except EndpointUnavailableError as exc:
                pause = backoff.fails(exc)
                wait = exc.retry_after or pause
                self._log.warning(
                    "a page could not be read; it is requested again", error=str(exc), tried_again_in=wait
                )
                await asyncio.sleep(wait)
            except EndpointRefusedError as exc:
                raise SourceError(str(exc), stage=self._stage) from exc

    async def _waited_for(self, url: str, parameters: Mapping[str, str]) -> Page:
        """Request a page once; report the wait if the answer takes long."""
        why = f"no answer yet; it may take `timeout`, {self._settings.timeout:g} s"
        timer = asyncio.get_running_loop().call_later(SILENT, report_outage, self._message(url, why))
        try:
            return await self.once(url, parameters)
        finally:
            timer.cancel()

    async def once(self, url: str, parameters: Mapping[str, str]) -> Page:
        """
        Request a page once.

        Raises:
            EndpointUnavailableError: The service does not answer, or cannot at the moment.
            EndpointRefusedError: It refuses a token.
            SourceError: It refuses the page, or its answer is not JSON.
        """
        opened = self._opened()
        try:
            check_host(url, self._settings.allow)
            login = await self._login.headers(opened)
            found = await self._once(opened, url, parameters, login)
            if found[0] == 401 and self._login.renews(login):
                found = await self._once(opened, url, parameters, await self._login.headers(opened))
        except TimeoutError as exc:
            raise self._away(url, f"no answer within `timeout`, {self._settings.timeout:g} s") from exc
        except aiohttp.InvalidURL as exc:
            raise self._error(url, one_line(exc)) from exc
        except (aiohttp.ClientError, OSError) as exc:
            if refused := refusal(exc):
                raise self._error(url, str(refused)) from exc
            raise self._away(url, why(exc)) from exc
        return self._read(url, *found)

    def _read(self, url: str, status: int, body: bytes, wait: float, links: Mapping[str, str]) -> Page:
        if is_transient(status) or status >= 500:
            raise self._away(url, f"it answers {status}", wait)
        if status == 204:
            return Page(None, links, "")
        if status in _REDIRECTS:
            to = shown(links.get(_LOCATION, "")) or "nowhere"
            what = f"it answers {status}, a redirect to {to!r}; name the new address in `url`"
            raise self._error(url, what)
        if status != 200:
            text = f": {cut(body)}" if body.strip() else ""
            hint = "; check the credentials" if status in {401, 403, 407} else ""
            raise self._error(url, f"it answers {status}{text}{hint}")
        if len(body) > self._settings.max_page:
            what = f"its answer is longer than `max_page`, {self._settings.max_page:,} bytes"
            raise self._error(url, f"{what}; ask for smaller pages")
        if not body.strip():
            raise self._error(url, "its answer is empty; a page without records is []")
        try:
            answer = msgspec.json.decode(body.removeprefix(BOM_UTF8))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise self._error(url, f"its answer is not JSON: {_placed(exc, body)}") from exc
        return Page(answer, links, hashlib.sha256(body).hexdigest()[:16])

    async def _once(
        self,
        opened: aiohttp.ClientSession,
        url: str,
        parameters: Mapping[str, str],
        login: Mapping[str, str],
    ) -> tuple[int, bytes, float, dict[str, str]]:
        headers = {"Accept": "application/json", **self._settings.headers, **login}
        # A redirect would bypass the check of addresses.
        request = opened.get(url, params=parameters, headers=headers, allow_redirects=False, **through(url))
        async with request as response:
            limit, body = self._settings.max_page + 1, bytearray()
            while len(body) < limit and (more := await response.content.read(limit - len(body))):
                body += more
            links = {str(name): str(link["url"]) for name, link in response.links.items() if "url" in link}
            if response.status in _REDIRECTS:
                links = {_LOCATION: response.headers.get("Location", "")}
            return response.status, bytes(body), retry_after(response.headers), links

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = session(1, self._settings.allow, self._settings.timeout)
        return self._session

    def _away(self, url: str, what: str, wait: float = 0.0) -> EndpointUnavailableError:
        return EndpointUnavailableError(self._message(url, what), stage=self._stage, retry_after=wait)

    def _error(self, url: str, what: str) -> SourceError:
        return SourceError(self._message(url, what), stage=self._stage)

    def _message(self, url: str, what: str) -> str:
        return redact(f"stage {self._stage!r}: GET {shown(url)}: {what}")


def _placed(exc: Exception, body: bytes) -> str:
    """Describe what is wrong with a text, and where: line and column from 1."""
    if isinstance(exc, UnicodeDecodeError):
        return unreadable(exc)
    text = str(exc)
    _, found, number = text.rpartition("(byte ")
    if not found:
        return text
    before = body[: int(number.rstrip(")"))]
    line, column = before.count(b"\n") + 1, len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{line}:{column}: {text[: text.rindex(' (byte ')]}"
