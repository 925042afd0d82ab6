"""What `run` says before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.cli.before_run import warn_of_unread
from rsq_pipe.spec.loader import load

ROUTE = """
version: 1
pipeline: shop
stages:
  read: {source: {type: stream, stream: in}}
  route: {route: [{to: large, when: n > 1}, {to: small, otherwise: true}]}
  large: {from: route.large, sink: {type: stdout}}
"""


@pytest.mark.parametrize(
    ("more", "unread"),
    [("", ["route.small"]), ("  small: {from: route.small, sink: {type: stdout}}\n", [])],
)
def test_an_output_that_nobody_reads_is_told_of(tmp_path: Path, more: str, unread: list[str]) -> None:
    spec = tmp_path / "pipeline.yaml"
    spec.write_text(ROUTE + more)

    with capture_logs() as logs:
        warn_of_unread(load(spec))

    assert [line["output"] for line in logs] == unread
