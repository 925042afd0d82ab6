"""A pipeline of its own for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.ops.morgue import Morgue
from tests.support.proxy import Proxy
from tests.support.server import StreamServer


@pytest.fixture
async def morgue(server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Morgue]:
    """A pipeline that reads, prices and writes; see Morgue."""
    lab = Morgue(tmp_path / "project", name, server.url)
    lab.shop()
    yield lab
    await lab.close()


@pytest.fixture
async def proxy(server: StreamServer) -> AsyncIterator[Proxy]:
    """What stands before the server and loses its replies."""
    async with Proxy(server.url) as running:
        yield running
