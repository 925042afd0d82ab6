"""Servers and names for every test."""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import StreamServer, binaries

SERVERS = binaries()

SPREAD = (
    "e2e",
    "integration/cli",
    "integration/connectors",
    "integration/engine",
    "integration/ops",
    "integration/page",
    "integration/testing",
    "integration/verbs",
)
"""Tests of what lies above the streams: each runs on one kind of server, half of them on either."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave out of `SPREAD` what another kind of server has been chosen for, by the test's name.

    RSQ_TEST_SERVERS=all runs them on all kinds; a test that is named with its kind, `test_x[redis]`, is run.
    """
    if os.environ.get("RSQ_TEST_SERVERS") == "all" or any("[" in word for word in config.args):
        return
    left = [item for item in items if _is_elsewhere(item)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if not _is_elsewhere(item)]


def _is_elsewhere(item: pytest.Item) -> bool:
    folder = item.path.relative_to(Path(__file__).parent).as_posix()
    if (
        not folder.startswith(SPREAD)
        or not isinstance(item, pytest.Function)
        or not hasattr(item, "callspec")
    ):
        return False
    kinds = [kind for kind in item.callspec.params.values() if isinstance(kind, str) and kind in SERVERS]
    if not kinds:
        return False
    name = item.nodeid.replace(kinds[0], "")
    return kinds[0] != sorted(SERVERS)[zlib.crc32(name.encode()) % len(SERVERS)]


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


@pytest.fixture
def table(name: str) -> str:
    """A name for a table of a database that no other test has."""
    return name.replace("-", "_")
