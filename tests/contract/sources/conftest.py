"""A server that keeps what it has accepted: of those pipelines whose own server is what is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SERVERS
from tests.support.guarded_server import GuardedServer


@pytest.fixture(scope="session")
def kept_redis() -> Iterator[GuardedServer]:
    with GuardedServer(SERVERS["valkey"], tcp=True, appendonly=True) as running:
        yield running
