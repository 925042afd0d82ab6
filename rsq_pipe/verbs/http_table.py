"""HttpTable: rows that a web service gives, a request a key."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.spec.http_address import is_refused
from rsq_pipe.spec.lookup import HttpRef
from rsq_pipe.verbs.keys import Key
from rsq_pipe.verbs.remote_table import Answer, RefusedError, UnavailableError

MAX_ANSWER = 1024 * 1024
"""Bytes of one answer; a row is small."""

_UNKNOWN = frozenset((404, 410))
_LOGIN = frozenset((401, 403, 407))
_LATER = frozenset((408, 425, 429))


class HttpTable:
    """
    Ask a web service with GET, several keys at once.

    Args:
        of: Where, and how many at once.
    """

    def __init__(self, of: HttpRef) -> None:
        self._of = of
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(of.concurrency)
        # The key stands behind it, never in it.
        self._host = urlsplit(str(of.url.parts[0])).hostname or ""

    async def fetch(self, keys: Sequence[Key]) -> Mapping[Key, Answer]:
        """Ask for each key; where the service does not answer for one, for none."""
        if is_refused(self._host) and self._host not in self._of.allow:
            # An address is connected to without the resolver below.
            raise RefusedError(f"{self._host} is a link-local or metadata address; add it to `allow`")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(self._one(key)) for key in keys}
        except BaseExceptionGroup as found:
            for kind in (RefusedError, UnavailableError):
                if of_kind := found.subgroup(kind):
                    raise _first(of_kind) from None
            raise
        answers = {key: task.result() for key, task in tasks.items()}
        return {key: answer for key, answer in answers.items() if answer is not None}

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _one(self, key: Key) -> Answer | None:
        parts = (key,) if isinstance(key, str) else key
        if any(part in {"", ".", ".."} for part in parts):
            # A client, or a server, takes these for a step in the path, and another resource is asked for.
            return ValueError(f"{', '.join(parts)!r} cannot stand in an address")
        try:
            url = self._of.url.spell(key, lambda part: quote(part, safe=""))
        except UnicodeEncodeError:
            return None
        async with self._slots:
            try:
                return await self._get(url)
            except aiohttp.ClientConnectorDNSError as exc:
                if isinstance(exc.__cause__, _RefusedAddressError) or isinstance(
                    exc.os_error, _RefusedAddressError
                ):
                    raise RefusedError(str(exc.os_error)) from exc
                raise UnavailableError(_said(exc)) from exc
            except aiohttp.InvalidURL as exc:
                raise RefusedError(_said(exc)) from exc
            except (aiohttp.ClientError, OSError) as exc:
                raise UnavailableError(_said(exc)) from exc

    async def _get(self, url: str) -> Answer | None:
        session = self._opened()
        # `encoded`: what was quoted stays so. Redirects would lead past the check of addresses.
        request = session.get(_as_is(url), headers=self._of.headers, allow_redirects=False)
        async with request as response:
            status = response.status
            if status in _UNKNOWN or status == 204:
                return None
            if status in _LOGIN:
                raise RefusedError(f"it answers {status}: check the credentials in `headers`")
            if status in _LATER or status >= 500:
                raise UnavailableError(f"it answers {status}")
            if 300 <= status < 400:
                raise RefusedError(f"it answers {status}, a redirect; name the new address in `url`")
            if status != 200:
                return ValueError(f"it answers {status}")
            body = await response.content.read(MAX_ANSWER + 1)
            while len(body) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER + 1)):
                body += more
        if len(body) > MAX_ANSWER:
            return ValueError(f"its answer is longer than {MAX_ANSWER:,} bytes")
        try:
            return parse(body)
        except UNREADABLE as exc:
            return ValueError(f"its answer: {wording(exc)}")

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._of.concurrency, resolver=_Resolver(frozenset(self._of.allow))
            )
            # The stage's `timeout` is that of the whole batch.
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class _RefusedAddressError(OSError):
    """A name that stands for an address that is asked only where it is allowed."""


class _Resolver(AbstractResolver):
    """Look names up, and leave out addresses of this machine's own network and its cloud's metadata."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._real = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._real.resolve(host, port, family)
        if host in self._allowed:
            return found
        left = [one for one in found if not is_refused(one["host"])]
        if not left:
            raise _RefusedAddressError(
                None, f"{host} is {found[0]['host']}, a link-local or metadata address; add it to `allow`"
            )
        return left

    async def close(self) -> None:
        await self._real.close()


def _as_is(url: str) -> Any:
    from yarl import URL  # noqa: PLC0415  comes with aiohttp

    return URL(url, encoded=True)


def _first(found: BaseExceptionGroup[Any]) -> Exception:
    one: Any = found
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return one  # type: ignore[no-any-return]


def _said(exc: BaseException) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
