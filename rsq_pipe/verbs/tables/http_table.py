"""HttpTable: rows from a web service, one request per key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from msgspec import Struct

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.http.answers import LOGIN, MAX_SHOWN, cut, is_transient, retry_after
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.web_client import as_is, check_host, refusal, session
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.error_text import one_line
from rsq_pipe.spec.stages.lookup import HttpRef
from rsq_pipe.verbs.tables.keys import Key
from rsq_pipe.verbs.tables.remote_table import Answer, UnavailableError, no_answer

MAX_ANSWER = 1024 * 1024
"""Maximum bytes of an answer; a row is small."""

_UNKNOWN = frozenset((404, 410))


class _Asking(Struct):
    """
    Hold what the requests for one batch share.

    Args:
        seconds: How long each may take.
        stopped: Why no more are begun; empty if they are.
    """

    seconds: float
    stopped: str = ""


class HttpTable:
    """
    Query a web service with GET, several keys at once.

    Once the service cannot answer for one key, no more requests are begun for those that come with it. What
    was answered is used all the same: else a service that fails now and then would be asked everything again
    each time, and a large batch would never be done.

    Args:
        of: The service, and the number of concurrent requests.
    """

    def __init__(self, of: HttpRef) -> None:
        self._of = of
        self._session: aiohttp.ClientSession | None = None
        self._silent_until = 0.0  # by the loop's clock: until then the service asks to be left alone
        self._slots = asyncio.Semaphore(of.concurrency)
        # The key comes after this part, never inside it.
        self._beginning = str(of.url.parts[0])

    async def fetch(self, keys: Sequence[Key], seconds: float) -> Mapping[Key, Answer]:
        """Request each key, until the service cannot answer for one."""
        try:
            check_host(self._beginning, self._of.allow)
        except OSError as exc:
            raise RefusedError(str(exc)) from exc
        asking = _Asking(seconds)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {key: group.create_task(self._one(key, asking)) for key in keys}
        except BaseExceptionGroup as found:
            if of_kind := found.subgroup(RefusedError):
                raise _first(of_kind) from None
            raise
        answers = {key: task.result() for key, task in tasks.items()}
        return {key: answer for key, answer in answers.items() if answer is not None}

    async def close(self) -> None:
        """Close the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _one(self, key: Key, asking: _Asking) -> Answer | None:
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
            wait = self._silent_until - asyncio.get_running_loop().time()
            if wait > 0:
                return UnavailableError("it asked to be left alone", retry_after=wait)
            if asking.stopped:
                return UnavailableError(asking.stopped)
            return await self._answer(url, asking)

    async def _answer(self, url: str, asking: _Asking) -> Answer | None:
        limit = asyncio.timeout(asking.seconds)
        try:
            async with limit:
                answer = await self._get(url)
        except aiohttp.InvalidURL as exc:
            raise RefusedError(one_line(exc)) from exc
        except (aiohttp.ClientError, OSError) as exc:
            if refused := refusal(exc):
                raise RefusedError(str(refused)) from exc
            late = limit.expired()  # maybe because of this key alone
            answer = UnavailableError(no_answer(asking.seconds) if late else one_line(exc), certain=not late)
            asking.stopped = str(answer)
        if isinstance(answer, UnavailableError) and answer.certain:
            asking.stopped = str(answer)
        return answer

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
                return self._later(status, retry_after(response.headers))
            if 300 <= status < 400:
                raise RefusedError(f"it answers {status}, a redirect; name the new address in `url`")
            if status != 200:
                body = await response.content.read(4 * MAX_SHOWN)
                return ValueError(f"it answers {status}: {cut(body)}" if body else f"it answers {status}")
            body = await response.content.read(MAX_ANSWER + 1)
            while len(body) <= MAX_ANSWER and (more := await response.content.read(MAX_ANSWER + 1)):
                body += more
        if len(body) > MAX_ANSWER:
            return ValueError(f"its answer is longer than {MAX_ANSWER:,} bytes")
        try:
            return parse(body)
        except UNREADABLE as exc:
            return ValueError(f"its answer: {wording(exc)}")

    def _later(self, status: int, seconds: float) -> UnavailableError:
        if seconds:
            self._silent_until = asyncio.get_running_loop().time() + seconds
        return UnavailableError(f"it answers {status}", certain=is_transient(status), retry_after=seconds)

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
