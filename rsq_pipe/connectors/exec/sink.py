"""Sink `exec`: the standard input of a command, one JSON record per line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.exec.command import SendOptions as Options
from rsq_pipe.connectors.exec.command import endpoint_of

if TYPE_CHECKING:
    from rsq_pipe.connectors.exec.sending import ExecSender


def sender(options: Options, *, stage: str, timeout: float, root: Path) -> ExecSender:
    """Make the verb of a stage; nothing is run yet."""
    from rsq_pipe.connectors.exec.sending import ExecSender  # noqa: PLC0415  only to run

    return ExecSender(options, stage=stage, timeout=timeout, root=root)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the command as an endpoint."""
    return endpoint_of(options, root)


__all__ = ["Options", "endpoint", "sender"]
