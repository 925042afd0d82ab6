"""Servers of one source alone, which may be away while those of the others are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SERVERS
from tests.support.guarded_server import GuardedServer
from tests.support.postgres import PostgresServer


@pytest.fixture(scope="session")
def stream_redis() -> Iterator[GuardedServer]:
    yield from _kept()


@pytest.fixture(scope="session")
def webhook_redis() -> Iterator[GuardedServer]:
    yield from _kept()


@pytest.fixture(scope="session")
def cdc_postgres(postgres_binaries: Path) -> Iterator[PostgresServer]:
    with PostgresServer(postgres_binaries) as running:
        yield running


def _kept() -> Iterator[GuardedServer]:
    """Run one that keeps what it has accepted: the pipeline's own is what is away."""
    with GuardedServer(SERVERS["valkey"], tcp=True, appendonly=True) as running:
        yield running
