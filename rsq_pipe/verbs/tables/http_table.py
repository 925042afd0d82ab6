"""HttpTable: rows from a web service, one request per key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from rsq_pipe.connectors.endpoint import AwayError, RefusedError
from rsq_pipe.connectors.http.answers import LOGIN, is_transient
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.web_client import as_is, check_host, refusal, session
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.error_text import one_line
from rsq_pipe.spec.stages.lookup import HttpRef
from rsq_pipe.verbs.tables.keys import Key
from rsq_pipe.verbs.tables.remote_table import Answer

MAX_ANSWER = 1024 * 1024
"""Maximum bytes of an answer; a row is small."""

_UNKNOWN = frozenset((404, 410))


class HttpTable:
    """
    Query a web service with GET, several keys at once.

    Args:
        of: The service, and the number of concurrent requests.
    """

    def __init__(self, of: HttpRef) -> None:
        self._of = of
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(of.concurrency)
        # The key comes after this part, never inside it.
        self._beginning = str(of.url.parts[0])

    async def fetch(self, keys: Sequence[Key]) -> Mapping[Key, Answer]:
        """Request each key; if the service does not answer for one, return no answers."""
        try:
            check_host(self._beginning, self._of.allow)
        except OSError as exc:
            raise RefusedError(str(exc)) from exc
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(self._one(key)) for key in keys}
        except BaseExceptionGroup as found:
            for kind in (RefusedError, AwayError):
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
            # A client or a server would take these for a path segment of its own, and request another
            # resource.
            return ValueError(f"{', '.join(parts)!r} cannot be part of an address")
        try:
            url = self._of.url.spell(key, lambda part: quote(part, safe=""))
        except UnicodeEncodeError:
            return None
        async with self._slots:
            try:
                return await self._get(url)
            except aiohttp.InvalidURL as exc:
                raise RefusedError(one_line(exc)) from exc
            except (aiohttp.ClientError, OSError) as exc:
                if refused := refusal(exc):
                    raise RefusedError(str(refused)) from exc
                raise AwayError(one_line(exc)) from exc

    async def _get(self, url: str) -> Answer | None:
        # Redirects would bypass the check of addresses.
        request = self._opened().get(
            as_is(url), headers=self._of.headers, allow_redirects=False, **through(url)
        )
        async with request as response:
            status = response.status
            if status in _UNKNOWN or status == 204:
                return None
            if status in LOGIN:
                raise RefusedError(f"it answers {status}: check the credentials in `headers`")
            if is_transient(status) or status >= 500:
                raise AwayError(f"it answers {status}")
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
            # The stage's `timeout` applies to the whole batch.
            self._session = session(self._of.concurrency, self._of.allow)
        return self._session


def _first(found: BaseExceptionGroup[Any]) -> Exception:
    one: Any = found
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return one  # type: ignore[no-any-return]
