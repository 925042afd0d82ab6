"""Small files, sources that read them, and sinks on a temporary project root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.files.unpacked import packed
from rsq_pipe.connectors.sink import Sink
from rsq_pipe.connectors.source import Arrival, Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.model.batch import Batch

Connect = Callable[..., Source]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file below the project root; packed where its name says so."""

    def write_file(name: str, data: bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(name, data))
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


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Callable[..., Sink]]:
    """Make a sink of a type, with the temporary folder as project root; closed when the test ends."""
    made: list[Sink] = []

    def make(kind: str, **options: Any) -> Sink:
        found = connector("sink", kind)
        assert found.connect is not None
        made.append(found.connect(found.options(**options), stage="large", root=tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def batch() -> Callable[..., Batch]:
    """Make a batch of the given records."""

    def make(*records: Any) -> Batch:
        return Batch(list(records), [f"read:{place}" for place in range(len(records))])

    return make
