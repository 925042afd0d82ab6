"""Servers for connectors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import StreamServer, binaries

__all__ = ["other_redis"]


@pytest.fixture(scope="session")
def other_redis() -> Iterator[StreamServer]:
    """A server beside the pipeline's own, for the whole run; tests keep apart by the names of their keys."""
    with StreamServer(binaries()["valkey"], tcp=True) as running:
        yield running
