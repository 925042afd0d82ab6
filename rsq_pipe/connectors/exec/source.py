"""Source `exec`: the standard output of a command, one record per line."""

from __future__ import annotations

from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.exec.command import ReadOptions as Options
from rsq_pipe.connectors.exec.command import endpoint_of
from rsq_pipe.connectors.exec.reading import ExecSource


def connect(options: Options, *, stage: str, root: Path) -> ExecSource:
    """Make the source of a stage; nothing is run yet."""
    return ExecSource(options, stage=stage, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the command as an endpoint."""
    return endpoint_of(options, root)


__all__ = ["Options", "connect", "endpoint"]
