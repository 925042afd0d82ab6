"""Sink `dlt`: rows of a table in whatever dlt writes to, merged by record id."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.dlt.loading import DltSink
from rsq_pipe.connectors.dlt.options import WriteOptions as Options
from rsq_pipe.connectors.endpoint import Endpoint


def connect(options: Options, *, stage: str, root: Path, pipeline: str) -> DltSink:
    """Make the sink of a stage; nothing is opened yet."""
    return DltSink(options, stage=stage, root=root, pipeline=pipeline)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:
    """Return the table as an endpoint."""

    def reach(_: float) -> str:
        DltSink(options, stage=stage, root=root, pipeline="validate").destination()
        return "dlt knows the destination; the table was not tried"

    return Endpoint(f"dlt {options.destination} {options.dataset}.{options.table}", reach)


__all__ = ["Options", "connect", "endpoint"]
