"""Command: a program to run, how it is displayed, and how it is ended."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.connectors.wording import wording
from rsq_pipe.redaction import redact
from rsq_pipe.units import Duration, Size

MAX_LOGGED = 1_000
"""Maximum characters of a line of standard error in the log."""


def _words(value: object) -> object:
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004  pydantic wants a ValueError
            "must be a list of words, which no shell reads: [jq, -c, .]; write a line for a shell as `shell`"
        )
    return value


class CommandOptions(Settings):
    """Settings of the command to run."""

    command: Annotated[tuple[str, ...], BeforeValidator(_words)] | None = Field(
        default=None, min_length=1, description="The program and its arguments, as a list, without a shell."
    )
    shell: str | None = Field(
        default=None, min_length=1, description="Alternatively, a line for `sh -c`, with pipes and variables."
    )
    env: dict[str, str] = Field(
        default={}, repr=False, description="Environment variables, in addition to those of the run."
    )
    cwd: str = Field(
        default="", description="The folder it runs in, relative to the project root. Default: the root."
    )
    stop_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=5.0,
        description="When stopping, its input is closed; after this time it gets SIGTERM, after it again "
        "SIGKILL.",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.command is None) == (self.shell is None):
            raise ValueError("it needs either `command`, a list, or `shell`, a line; write `command: [NAME]`")
        if any("\0" in word for word in self.words):
            raise ValueError("a word of a command cannot hold a NUL character")
        return self

    @property
    def words(self) -> list[str]:
        """The program and its arguments."""
        return ["sh", "-c", self.shell] if self.shell is not None else list(self.command or ())

    @property
    def shown(self) -> str:
        """The command in a few words; an argument may be a password."""
        return "sh -c ..." if self.shell is not None else self.words[0]

    def settings(self, root: Path) -> dict[str, Any]:
        """Return the settings to start a process with: it leads its own group, which is ended with it."""
        return {"cwd": root / self.cwd, "env": {**os.environ, **self.env}, "start_new_session": True}


class ReadOptions(CommandOptions):
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


class SendOptions(CommandOptions):
    """Settings of the `exec` sink: a command that gets records on its standard input, as JSON, one a line."""

    ack: Literal["exit", "line"] = Field(
        default="exit",
        description="How the command says what became of records. `exit`: it is run for each batch, and exit "
        "code 0 means that all are done. `line`: it is run once, and answers each line with one: `ok`, "
        "`reject WHY`, `retry WHY` or `drop WHY`.",
    )
    rid: bool = rid_option()


def endpoint_of(options: CommandOptions, root: Path) -> Endpoint:
    """Return the program as an endpoint; it is looked up, not run."""

    def reach(_: float) -> str:
        if missing := _missing(options, root):
            raise UnreachableError(missing)
        return "it was not run"

    return Endpoint(f"command {options.shown}", reach)


def why_not_run(options: CommandOptions, root: Path, exc: Exception) -> str:
    """Return why a command cannot be run: the system names neither its folder nor its program."""
    return f"it cannot be run: {_missing(options, root) or wording(exc)}"


def _missing(options: CommandOptions, root: Path) -> str:
    folder = root / options.cwd
    if not folder.is_dir():
        return f"there is no folder {folder}; make it, or correct `cwd`"
    name = options.words[0]
    path = str(folder / name) if "/" in name else name
    if shutil.which(path, path=environment(options.env).get("PATH")) is None:
        return f"there is no program {name!r}; install it, or check its rights and PATH"
    return ""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a command sees."""
    return {**os.environ, **own}


def signalled(pid: int, kind: signal.Signals) -> None:
    """Send a signal to a process and all processes it started; do nothing if it has ended."""
    try:
        os.killpg(pid, kind)
    except (ProcessLookupError, PermissionError):
        return


def logged(line: bytes) -> str:
    """Turn a line of standard error into one for the log."""
    return redact(line.decode(errors="backslashreplace").rstrip()[:MAX_LOGGED])


def ended(code: int) -> str:
    """Describe how a process ended."""
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        return f"it was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"it was ended by signal {-code}"
