"""Sinks on a temporary project root, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.batch import Batch
from rsq_pipe.registry import connector
from rsq_pipe.sinks.sink import Sink


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
