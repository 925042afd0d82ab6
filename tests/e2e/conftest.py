"""A project for every test, and servers: Redis, with the rights that `rsq-pipe acl` prints, and databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import SERVERS
from tests.support.guarded_server import GuardedServer
from tests.support.mariadb import mariadb, mariadb_binary, own_mariadb
from tests.support.object_store import bucket, object_store, own_object_store
from tests.support.postgres import own_postgres, postgres, postgres_binaries
from tests.support.project import Project

__all__ = [
    "bucket",
    "mariadb",
    "mariadb_binary",
    "object_store",
    "own_mariadb",
    "own_object_store",
    "own_postgres",
    "postgres",
    "postgres_binaries",
]


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


@pytest.fixture
def project(tmp_path: Path, name: str) -> Project:
    """A folder for a pipeline."""
    return Project(tmp_path / "project", name)
