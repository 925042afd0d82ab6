"""Servers that give the command line the rights `rsq-pipe acl` prints, and no others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SERVERS
from tests.support.guarded_server import GuardedServer


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[GuardedServer]:
    """One server for all these tests, per kind; tests keep apart by `name`, and never flush it."""
    with GuardedServer(SERVERS[request.param], tcp=True) as running:
        yield running


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Iterator[GuardedServer]:
    """A server for one test that kills, pauses or limits it; it keeps its data over restarts."""
    with GuardedServer(SERVERS[request.param], tcp=True, appendonly=True) as running:
        yield running
