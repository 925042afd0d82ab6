"""One Chromium, one server and one page for all tests in a browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.conftest import SERVERS
from tests.support.chromium import Tab, chromium, tab
from tests.support.command_line import start
from tests.support.server import StreamServer
from tests.support.signals import PATIENCE


@pytest.fixture(scope="session")
def server() -> Iterator[StreamServer]:
    """The bundled server: what the page shows does not hang on its kind."""
    with StreamServer(SERVERS["valkey"], tcp=True) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def served(server: StreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of the server, and where it is."""
    with serving("--redis", server.tcp_url, cwd=tmp_path_factory.mktemp("serve")) as (url, _):
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def view(browser: Browser, served: str) -> AsyncIterator[Tab]:
    """A tab on the page."""
    async with tab(browser, served) as opened:
        yield opened


class serving:  # noqa: N801  it is used as a function
    """Run `rsq-pipe serve` on a free port, or on the one that is named."""

    def __init__(self, *words: str, cwd: Path, port: int = 0) -> None:
        self._process = start("serve", *words, "--port", str(port), cwd=cwd)

    def __enter__(self) -> tuple[str, subprocess.Popen[str]]:
        assert self._process.stderr is not None
        line = self._process.stderr.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + self._process.stderr.read()
        return found[0].rstrip("/").replace("0.0.0.0", "127.0.0.1"), self._process

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=PATIENCE)
