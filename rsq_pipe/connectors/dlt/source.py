"""Source `dlt`: what a source or resource of dlt brings, with dlt's state stored beside the records."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.dlt.read_options import ReadOptions as Options
from rsq_pipe.connectors.dlt.reading import DltSource
from rsq_pipe.connectors.endpoint import Endpoint


def connect(options: Options, *, stage: str, root: Path) -> DltSource:
    """Make the source of a stage; nothing is called yet."""
    return DltSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Name the function; what it talks to is its own matter."""
    source = DltSource(options, stage=stage, root=root)

    def reach(_: float) -> str:
        source.made()
        return "the function can be called; what it reads was not tried"

    return Endpoint(f"dlt source {options.call}", reach)


__all__ = ["Options", "connect", "endpoint"]
