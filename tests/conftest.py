"""Servers and names for every test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.support.server import StreamServer, binaries

SERVERS = binaries()


@pytest.fixture(scope="session", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    """One server for the whole run, per kind; tests keep apart by `name`, and never flush it."""
    with StreamServer(SERVERS[request.param], tcp=True) as running:
        yield running


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest) -> Iterator[StreamServer]:
    """A server for one test that kills, pauses or limits it; it keeps its data over restarts."""
    with StreamServer(SERVERS[request.param], tcp=True, appendonly=True) as running:
        yield running


@pytest.fixture
def name() -> str:
    """A pipeline or stream name that no other test has."""
    return f"t-{uuid.uuid4().hex[:12]}"
