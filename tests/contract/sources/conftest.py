"""Servers that keep what they have accepted: of pipelines whose own server is what is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import SERVERS
from tests.support.guarded_server import GuardedServer


@pytest.fixture(scope="session")
def stream_redis() -> Iterator[GuardedServer]:
    yield from _kept()


@pytest.fixture(scope="session")
def webhook_redis() -> Iterator[GuardedServer]:
    yield from _kept()


def _kept() -> Iterator[GuardedServer]:
    with GuardedServer(SERVERS["valkey"], tcp=True, appendonly=True) as running:
        yield running
