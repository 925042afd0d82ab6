"""ServedPage: the page, served for a test on a free port and requested over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp

from rsq_pipe.page.app import create_app
from rsq_pipe.page.serving import PageServer
from rsq_pipe.page.site import Site
from rsq_pipe.streams.client import StreamClient
from tests.support.described_api import hold
from tests.support.signals import PATIENCE


class Answer(NamedTuple):
    """What was returned."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class ServedPage:
    """Send requests to one page; every answer is checked against the description of the API."""

    def __init__(self, url: str, http: aiohttp.ClientSession, site: Site) -> None:
        self.url = url
        self.http = http
        self.site = site
        self.csrf = ""
        self.stop: Callable[[], None] = lambda: None

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        async with self.http.request(method, f"{self.url}{path}", **more) as found:
            told = Answer(found.status, found.headers, await found.text())
        if path.startswith("/api") and told.headers.get("content-type") == "application/json":
            hold(method, path, told.status, told.json)
        return told

    async def get(self, path: str, **query: Any) -> Any:
        """Request something that exists."""
        found = await self.ask("GET", f"/api{path}", params=query)
        assert found.status == 200, found
        return found.json

    async def post(self, path: str, **said: Any) -> Answer:
        """Act as the page does."""
        self.csrf = self.csrf or (await self.get("/session"))["csrf"]
        return await self.ask("POST", f"/api{path}", json=said, headers={"X-CSRF-Token": self.csrf})


@asynccontextmanager
async def served(url: str, **settings: Any) -> AsyncIterator[ServedPage]:
    """Serve the page of a Redis on a free port."""
    async with StreamClient.from_url(url) as client:
        site = Site(client, **settings)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server, ready = PageServer(create_app(site), listener), asyncio.Event()
        serving = asyncio.ensure_future(server.run(ready.set))
        await asyncio.wait_for(ready.wait(), PATIENCE)
        # `unsafe`: a jar that keeps the cookies of an IP address, as browsers do.
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            page = ServedPage(f"http://127.0.0.1:{port}", http, site)
            page.stop = server.stop
            yield page
        server.stop()
        await asyncio.wait_for(serving, PATIENCE)
