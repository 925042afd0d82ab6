"""A page for every test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.served_page import ServedPage, served
from tests.support.server import StreamServer


@pytest.fixture
async def page(server: StreamServer) -> AsyncIterator[ServedPage]:
    """The page of the server, without tokens."""
    async with served(server.url) as running:
        yield running
