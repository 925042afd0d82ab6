"""Reach: whether a web service answers and accepts our credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from rsq_pipe.connectors.endpoint import UnreachableError
from rsq_pipe.connectors.http.answers import LOGIN
from rsq_pipe.connectors.http.get import Get
from rsq_pipe.connectors.http.lists import is_named, listed
from rsq_pipe.connectors.http.login import Login
from rsq_pipe.connectors.http.mark import Mark
from rsq_pipe.connectors.http.options import ReadSettings, SendSettings
from rsq_pipe.connectors.http.paging import inside, parameters
from rsq_pipe.connectors.http.proxies import through
from rsq_pipe.connectors.http.web_client import as_is, check_host, refusal, session, why
from rsq_pipe.errors import EndpointUnavailableError


def reach_page(settings: ReadSettings, stage: str, seconds: float) -> str | None:
    """
    Request a service's first page, once.

    Returns:
        That nothing is at the `records` path, and where the page has lists; None if something is.

    Raises:
        UnreachableError, EndpointUnavailableError, SourceError: It does not answer, or refuses the page.
    """
    get = Get(settings.model_copy(update={"timeout": min(settings.timeout, seconds)}), stage)

    async def ask() -> Any:
        try:
            return (await get.once(settings.url, parameters(settings, Mark()))).answer
        finally:
            await get.close()

    try:
        answer = asyncio.run(ask())
    except EndpointUnavailableError as exc:
        if ": it answers " in str(exc):  # it is there, and busy or out of order
            raise UnreachableError(f"{exc}; a run asks again until it answers otherwise") from exc
        raise
    if answer is None or inside(answer, settings.records) is not None or is_named(answer, settings.records):
        return None
    return f"the page has nothing at `records: {settings.records}`; {listed(answer)}"


def reach_service(settings: SendSettings, stage: str, seconds: float) -> str:
    """
    Send a HEAD request to a service's address, which changes nothing there.

    Raises:
        UnreachableError: It does not answer, or refuses the credentials.
        EndpointRefusedError, EndpointUnavailableError: The token server does so.
    """

    async def login(opened: aiohttp.ClientSession) -> Mapping[str, str]:
        return await Login(stage, settings.auth, settings.allow).headers(opened)

    return reach_address(settings.url, settings.allow, settings.headers, seconds, login)


async def _nobody(_: aiohttp.ClientSession) -> Mapping[str, str]:
    return {}


def reach_address(
    url: str,
    allow: Sequence[str],
    headers: Mapping[str, str],
    seconds: float,
    login: Callable[[aiohttp.ClientSession], Awaitable[Mapping[str, str]]] = _nobody,
) -> str:
    """
    Send a HEAD request to an address.

    Raises:
        UnreachableError: It does not answer, or refuses the credentials.
    """

    async def ask() -> int:
        async with session(1, allow, seconds) as opened:
            own = {**headers, **await login(opened)}
            request = opened.head(as_is(url), headers=own, allow_redirects=False, **through(url))
            async with request as response:
                return response.status

    try:
        check_host(url, allow)
        status = asyncio.run(ask())
    except TimeoutError as exc:
        raise UnreachableError(f"no answer within {seconds:g} s; check `url`, and the network") from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise UnreachableError(f"{refusal(exc) or why(exc)}; check `url`, and whether it is up") from exc
    if status in LOGIN:
        raise UnreachableError(f"it answers {status} to HEAD; check `auth` and `headers`")
    return f"it answers {status} to HEAD; nothing was sent"
