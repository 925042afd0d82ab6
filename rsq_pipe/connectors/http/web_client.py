"""Web client: sessions that connect to addresses in this machine's own network only if these are allowed."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct

from rsq_pipe.connectors.http.addresses import is_refused, why_refused
from rsq_pipe.connectors.http.proxies import WrongProxyError, proxy_of
from rsq_pipe.error_text import one_line

LISTENS = 2.0
"""Seconds within which a running service accepts a connection."""


class RefusedAddressError(OSError):
    """An address that is only contacted if it is allowed."""


class Connection(Struct):
    """Stores, for a request that has it as `trace_request_ctx`, whether its connection was reused."""

    kept: bool = False


def session(concurrency: int, allow: Collection[str], timeout: float | None = None) -> aiohttp.ClientSession:
    """
    Open a session.

    Args:
        concurrency: Maximum number of connections.
        allow: Hosts that may be contacted although they resolve to a link-local or metadata address.
        timeout: Maximum seconds for one request; None for no limit.
    """
    connector = aiohttp.TCPConnector(limit=concurrency, resolver=_Resolver(frozenset(allow)))
    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[traces],
    )


async def _note_reuse(_session: object, context: Any, _params: object) -> None:
    if isinstance(context.trace_request_ctx, Connection):
        context.trace_request_ctx.kept = True


def check_host(url: str, allow: Collection[str]) -> None:
    """
    Refuse an address that is written as numbers: connecting to it involves no resolver.

    Raises:
        RefusedAddressError: It hands out credentials, and is not allowed.
    """
    if refused := why_refused(urlsplit(url).hostname or "", allow):
        raise RefusedAddressError(None, refused)


def refusal(exc: BaseException) -> RefusedAddressError | WrongProxyError | None:
    """Return the refusal because of which a connection failed, if any."""
    if isinstance(exc, RefusedAddressError | WrongProxyError):
        return exc
    for inner in (exc.__cause__, getattr(exc, "os_error", None)):
        if isinstance(inner, RefusedAddressError):
            return inner
    return None


def why(exc: BaseException) -> str:
    """Say why a request failed; where no connection was made, in the system's words."""
    if isinstance(exc, aiohttp.ClientHttpProxyError):
        what = f"the proxy of the environment answers {exc.status} {exc.message}"
        return f"{what}; check HTTPS_PROXY and NO_PROXY"
    if isinstance(exc, aiohttp.ClientSSLError) and (reason := _no_tls(exc)):
        return f"cannot connect to {exc.host}:{exc.port}: {reason}"
    if isinstance(exc, aiohttp.ClientResponseError):
        return f"its answer is not HTTP: {' '.join(exc.message.split())}"
    if not isinstance(exc, aiohttp.ClientConnectorError) or isinstance(exc, aiohttp.ClientSSLError):
        return one_line(exc).removeprefix("400, message: ")  # of aiohttp, about what the service has sent
    cause = exc.os_error
    # Those of asyncio name its own call: "Connect call failed ('10.0.0.1', 80)".
    is_known = cause.errno is not None and cause.errno > 0
    reason = os.strerror(cause.errno or 0) if is_known else cause.strerror or one_line(cause)
    to = "the proxy of the environment, " if isinstance(exc, aiohttp.ClientProxyConnectionError) else ""
    return f"cannot connect to {to}{exc.host}:{exc.port}: {reason}"


def _no_tls(exc: aiohttp.ClientSSLError) -> str:
    """Return why a TLS connection fails, and what to correct; empty if only OpenSSL's words are known."""
    cause = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        fix = "set SSL_CERT_FILE to a file with its authority, or correct the host"
        return f"its certificate is not trusted ({cause.verify_message}); {fix}"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return "it does not speak TLS there; correct the port, or write http://"
    return ""


async def is_away(url: str) -> bool:
    """Return whether nothing accepts connections at an address that was connected to before."""
    # yarl knows the default port of a scheme, and writes names as the network does.
    where = as_is(proxy_of(url) or url)
    try:
        async with asyncio.timeout(LISTENS):
            _, writer = await asyncio.open_connection(where.host, where.port)
    except OSError:  # a TimeoutError is one
        return True
    writer.close()
    return False


def as_is(url: str) -> Any:
    """Make an address that is sent exactly as written: quoted characters stay quoted."""
    from yarl import URL  # noqa: PLC0415  comes with aiohttp

    return URL(url, encoded=True)


class _Resolver(AbstractResolver):
    """Resolve names, leaving out addresses of this machine's own network and its cloud's metadata."""

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
            raise RefusedAddressError(
                None, f"{host} is {found[0]['host']}, a link-local or metadata address; add it to `allow`"
            )
        return left

    async def close(self) -> None:
        await self._real.close()
