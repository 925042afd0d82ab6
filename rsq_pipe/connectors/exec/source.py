"""Source `exec`: the standard output of a command, one record per line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.exec.command import CommandOptions, endpoint_of
from rsq_pipe.connectors.exec.reading import ExecSource
from rsq_pipe.units import Size


class Options(CommandOptions):
    """Settings of the `exec` source: what a command writes to its standard output."""

    format: Literal["jsonl", "lines", "csv"] = Field(
        default="jsonl",
        description="What a line is: a JSON object; a text, the field `line`; or a row under a header.",
    )
    resume: Literal["none", "skip"] = Field(
        default="none",
        description="How another run continues. `none`: the command is run again and read from its first "
        "line: what an earlier run has stored enters again, with other ids. `skip`: as many records are "
        "skipped as were stored; for a command that writes the same each time.",
    )
    restart: Literal["failed", "always", "never"] = Field(
        default="failed",
        description="When the command is run again after it has ended, after a pause that grows to 60 s: if "
        "it failed, always, or never, in which case a failure ends the run.",
    )
    max_line: Annotated[Size, Field(gt=0)] = Field(
        default="1MiB",
        validate_default=True,
        description="The longest line in bytes; a longer one becomes a dead letter.",
    )


def connect(options: Options, *, stage: str, root: Path) -> ExecSource:
    """Make the source of a stage; nothing is run yet."""
    return ExecSource(
        options,
        stage,
        root,
        form=options.format,
        skips=options.resume == "skip",
        restart=options.restart,
        max_line=options.max_line,
    )


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the command as an endpoint."""
    return endpoint_of(options, root)
