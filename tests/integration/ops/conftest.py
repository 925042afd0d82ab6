"""What loses the replies of a test's server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.proxy import Proxy
from tests.support.server import StreamServer


@pytest.fixture
async def proxy(server: StreamServer) -> AsyncIterator[Proxy]:
    """What stands before the server and loses its replies."""
    async with Proxy(server.url) as running:
        yield running
