"""Small files, and sources that read them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.registry import connector
from rsq_pipe.sources.source import Arrival, Source

Connect = Callable[..., Source]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file below the project root; packed where its name ends in .gz."""

    def write_file(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write_file


@pytest.fixture
def source(tmp_path: Path) -> Connect:
    """Make a source of a type, with the temporary folder as project root; files end where they end."""

    def make(kind: str, *, final: bool | None = True, **options: Any) -> Source:
        found = connector("source", kind)
        assert found.connect is not None
        made: Source = found.connect(found.options(final=final, **options), stage="read", root=tmp_path)
        return made

    return make


@pytest.fixture
def arrivals(source: Connect) -> Callable[..., list[Arrival]]:
    """Read everything that a source of a type yields."""

    def read(kind: str, **options: Any) -> list[Arrival]:
        made = source(kind, **options)
        return [
            arrival
            for shard in made.shards()
            for chunk in made.read(shard, "", 100)
            for arrival in chunk.arrivals
        ]

    return read
