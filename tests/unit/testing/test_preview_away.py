"""A preview does not wait long for a server that is away."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq_pipe.errors import SourceError
from rsq_pipe.spec.loader import load
from rsq_pipe.testing.preview.first_records import first_records
from tests.support.project import Project


@pytest.fixture
def port() -> Iterator[int]:
    """A port of loopback at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize("kind", ["kafka, brokers:", "mqtt, broker:"])
def test_a_source_that_is_away_is_told_within_seconds(
    tmp_path: Path, port: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"rsq_pipe.connectors.{kind.partition(',')[0]}.reading"
    monkeypatch.setattr(f"{module}.PREVIEW", 1.0, raising=False)
    project = Project(tmp_path / "project", "shop")
    project.spec(f"""
        read: {{source: {{type: {kind} "127.0.0.1:{port}", topic: orders, timeout: 20s}}}}
        out: {{sink: {{type: stdout}}}}
    """)
    graph, began = load(project.path), time.monotonic()

    with pytest.raises(SourceError, match=re.escape(f"127.0.0.1:{port}") + ".*cannot be reached"):
        list(first_records(graph, graph.stage("read"), 5))

    assert time.monotonic() - began < 10
