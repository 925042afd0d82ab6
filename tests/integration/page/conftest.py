"""A pipeline and its page for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.ops.morgue import Morgue
from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer


@pytest.fixture
async def morgue(server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Morgue]:
    """A pipeline that reads, prices and writes; see Morgue."""
    lab = Morgue(tmp_path / "project", name, server.url)
    lab.shop()
    yield lab
    await lab.close()


@pytest.fixture
async def page(server: StreamServer) -> AsyncIterator[ServedPage]:
    """The page of the server, without tokens."""
    async with served(server.url) as running:
        yield running
