"""Sink `exec`: the standard input of a command, one JSON record per line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.exec.command import CommandOptions, endpoint_of
from rsq_pipe.connectors.record_id import rid_option

if TYPE_CHECKING:
    from rsq_pipe.connectors.exec.sending import ExecSender


class Options(CommandOptions):
    """Settings of the `exec` sink: a command that gets records on its standard input, as JSON, one a line."""

    ack: Literal["exit", "line"] = Field(
        default="exit",
        description="How the command says what became of records. `exit`: it is run for each batch, and exit "
        "code 0 means that all are done. `line`: it is run once, and answers each line with one: `ok`, "
        "`reject WHY`, `retry WHY` or `drop WHY`.",
    )
    rid: bool = rid_option()


def sender(options: Options, *, stage: str, timeout: float, root: Path) -> ExecSender:
    """Make the verb of a stage; nothing is run yet."""
    from rsq_pipe.connectors.exec.sending import ExecSender  # noqa: PLC0415  only to run

    by_line = options.ack == "line"
    return ExecSender(options, stage=stage, timeout=timeout, root=root, rid=options.rid, by_line=by_line)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the command as an endpoint."""
    return endpoint_of(options, root)
