"""A pipeline of its own for every test, and the servers that connectors write to and read from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.engine.packed import PackedLab
from tests.integration.ops.shop import Shop
from tests.support.kafka import kafka, own_kafka
from tests.support.mariadb import mariadb, mariadb_binary, own_mariadb
from tests.support.mosquitto import mqtt
from tests.support.object_store import bucket, object_store, own_object_store
from tests.support.postgres import own_postgres, postgres, postgres_binaries
from tests.support.server import StreamServer

__all__ = [
    "bucket",
    "kafka",
    "mariadb",
    "mariadb_binary",
    "mqtt",
    "object_store",
    "own_kafka",
    "own_mariadb",
    "own_object_store",
    "own_postgres",
    "postgres",
    "postgres_binaries",
]


@pytest.fixture
async def lab(server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[PackedLab]:
    """A pipeline whose file is not written yet, and whose streams the test may fill itself."""
    lab = PackedLab(tmp_path / "project", name, server.url)
    yield lab
    await lab.close()


@pytest.fixture
async def shop(server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """A pipeline that reads, prices and writes; see Shop."""
    shop = Shop(tmp_path / "project", name, server.url)
    yield shop
    await shop.close()


@pytest.fixture
async def own_shop(own_server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[Shop]:
    """The same, on a server that the test may kill, fill or limit."""
    shop = Shop(tmp_path / "project", name, own_server.url)
    yield shop
    await shop.close()
