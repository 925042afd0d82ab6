"""Servers of the contract suites: one of each kind for the whole run, which a test may stop for a while."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SERVERS
from tests.contract.place import Place
from tests.contract.sinks.redis import PASSWORD
from tests.contract.web_target import WebTarget
from tests.support.guarded_server import GuardedServer
from tests.support.kafka import kafka
from tests.support.mariadb import mariadb, mariadb_binary
from tests.support.mosquitto import MqttBroker
from tests.support.object_store import object_store
from tests.support.postgres import postgres, postgres_binaries
from tests.support.server import StreamServer

__all__ = ["kafka", "mariadb", "mariadb_binary", "object_store", "postgres", "postgres_binaries"]


@pytest.fixture(scope="session")
def server() -> Iterator[GuardedServer]:
    """The pipelines' own server."""
    with GuardedServer(SERVERS["valkey"], tcp=True) as running:
        yield running


@pytest.fixture(scope="session")
def lasting_server() -> Iterator[GuardedServer]:
    """Another one, which keeps its data over stops: for pipelines whose own server is stopped."""
    with GuardedServer(SERVERS["valkey"], tcp=True, appendonly=True) as running:
        yield running


@pytest.fixture(scope="session")
def target_redis() -> Iterator[StreamServer]:
    """A server beside the pipelines' own, with a password; it keeps its data over stops."""
    config = {"requirepass": PASSWORD}
    with StreamServer(SERVERS["valkey"], tcp=True, appendonly=True, config=config) as running:
        yield running


@pytest.fixture(scope="session")
def web_target() -> Iterator[WebTarget]:
    with WebTarget() as running:
        yield running


@pytest.fixture(scope="session")
def mosquitto() -> Iterator[MqttBroker]:
    with MqttBroker() as running:
        yield running


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> Place:
    return Place(tmp_path, name, request.getfixturevalue)
