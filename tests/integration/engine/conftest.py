"""A pipeline of its own for every test, whose streams the test may fill itself."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.engine.packed import PackedLab
from tests.support.server import StreamServer


@pytest.fixture(autouse=True)
def own_import_path() -> Iterator[None]:
    """Take each test's project off the path of imports: hundreds make every look at it slow, and garbage."""
    path = sys.path[:]
    yield
    sys.path[:] = path


@pytest.fixture
async def own_lab(own_server: StreamServer, name: str, tmp_path: Path) -> AsyncIterator[PackedLab]:
    """A pipeline on a server that the test may kill."""
    lab = PackedLab(tmp_path / "project", name, own_server.url)
    yield lab
    await lab.close()
