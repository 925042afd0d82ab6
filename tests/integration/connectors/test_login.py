"""Tokens of the OAuth client credentials: asked for once, and again shortly before they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from rsq_pipe.connectors.http import login as module
from rsq_pipe.connectors.http.login import Login
from rsq_pipe.connectors.http.settings import Auth
from tests.support.web_service import WebService


class Tokens:
    """Give a new token with each request."""

    def __init__(self, life: float) -> None:
        self.life = life
        self.given = 0

    async def answer(self, _: web.Request) -> web.StreamResponse:
        self.given += 1
        return web.json_response({"access_token": f"token-{self.given}", "expires_in": self.life})


@pytest.fixture
def make() -> Iterator[Callable[[Tokens], Login]]:
    with ExitStack() as running:

        def made(tokens: Tokens) -> Login:
            service = running.enter_context(WebService(tokens.answer))
            oauth = {"token_url": f"{service.url}/token", "client_id": "me", "client_secret": "hush"}
            return Login("read", Auth.model_validate({"oauth": oauth}))

        yield made


async def test_a_token_is_renewed_before_it_ends_and_not_sooner(
    make: Callable[[Tokens], Login], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(life=1_000)
    login = make(tokens)
    now = [0.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    async with aiohttp.ClientSession() as session:
        seen = []
        for moment in (0, 500, 1_000 - module.MARGIN - 1, 1_000 - module.MARGIN, 1_001):
            now[0] = moment
            seen.append((await login.headers(session))["Authorization"])

    assert seen == ["Bearer token-1"] * 3 + ["Bearer token-2"] * 2


async def test_requests_that_begin_together_ask_for_one_token(make: Callable[[Tokens], Login]) -> None:
    tokens = Tokens(life=1_000)
    login = make(tokens)
    async with aiohttp.ClientSession() as session:
        found = await asyncio.gather(*(login.headers(session) for _ in range(20)))

    assert tokens.given == 1
    assert {headers["Authorization"] for headers in found} == {"Bearer token-1"}
