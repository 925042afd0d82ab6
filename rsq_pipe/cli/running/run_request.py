"""RunRequest: what a run is asked for, by the options of `rsq-pipe run`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click
from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.cli.options.duration_type import DURATION
from rsq_pipe.cli.options.server_address import redis_option
from rsq_pipe.cli.options.spec_argument import spec_argument
from rsq_pipe.cli.options.stage_name import STAGE
from rsq_pipe.cli.running.leftovers import Rename, discard_option, rename_option
from rsq_pipe.cli.running.page_beside import page_option
from rsq_pipe.engine.processes.supervised import NUMBER
from rsq_pipe.telemetry.logs import FORMATS, LogFormat


class RunRequest(Struct, frozen=True):
    """Hold what was asked for: one field per option, described there."""

    spec: Path
    url: str | None
    stages: tuple[str, ...]
    limit: int | None
    processes: int
    fresh: bool
    renames: tuple[Rename, ...]
    discards: tuple[str, ...]
    yes: bool
    drain_timeout: float | None
    trace_file: Path | None
    metrics_port: int | None
    metrics_host: str
    page: tuple[str, int] | None
    log_format: LogFormat
    as_json: bool
    quiet: bool

    def refuse_what_excludes(self) -> None:
        """Refuse options that exclude each other, as a usage error."""
        if self.fresh and self.stages:
            raise click.UsageError("--fresh starts the whole pipeline over; leave --stage out, or --fresh")
        if self.fresh and (self.renames or self.discards):
            raise click.UsageError("--fresh forgets what all stages hold; leave --rename and --discard out")
        if self.limit is not None and self.processes > 1:
            raise click.UsageError("--limit tries a pipeline out, in one process; leave --processes out")

    def of_one_process(self, address: str) -> RunRequest:
        """Return what one of several processes is asked for; their parent does the rest before and beside."""
        return replace(self, processes=1, url=address, fresh=False, renames=(), discards=(), page=None)

    def options_of_processes(self) -> list[str]:
        """Return the options for each of several processes that is started anew."""
        options = [word for stage in self.stages for word in ("--stage", stage)]
        if self.drain_timeout is not None:
            options += ["--drain-timeout", f"{self.drain_timeout:g}s"]
        options += ["--log-format", self.log_format]
        if self.quiet:
            options += ["--quiet"]
        if self.trace_file is not None:
            options += ["--trace-file", str(self.trace_file)]
        if self.metrics_port is not None:
            options += ["--metrics-port", str(self.metrics_port), "--metrics-host", self.metrics_host]
        return options

    @property
    def metrics_address(self) -> tuple[str, int] | None:
        """Where this process answers for its metrics: each of several has its own port; None for nowhere."""
        if self.metrics_port is None:
            return None
        number = int(os.environ.get(NUMBER, "0"))
        return self.metrics_host, self.metrics_port + number if self.metrics_port else 0


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument SPEC and the options of a run, as one RunRequest."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        return command(RunRequest(**given))

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


_OPTIONS = (
    spec_argument,
    redis_option,
    click.option(
        "--stage",
        "stages",
        type=STAGE,
        multiple=True,
        metavar="NAME",
        help="Run only this stage; may be given again.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        help="Read the next N records of each source, to try the pipeline out; then drain, and end. Another "
        "run goes on after them.",
    ),
    click.option(
        "--processes",
        type=click.IntRange(1, 64),
        default=1,
        show_default=True,
        help="Run the pipeline in this many processes, and restart those that die.",
    ),
    click.option(
        "--fresh",
        is_flag=True,
        help="Start over: forget positions, streams and dead letters, and replace what the sinks wrote. "
        "On a terminal it asks before dead letters are deleted.",
    ),
    rename_option,
    discard_option,
    click.option("--yes", is_flag=True, help="Do not ask."),
    click.option(
        "--drain-timeout",
        type=DURATION,
        metavar="DURATION",
        help="How long a stop may take, instead of the spec's.",
    ),
    click.option(
        "--trace-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Append the traced records' spans to this file, as OTLP JSON; see `rsq-pipe trace`. They go to "
        "a collector if OTEL_EXPORTER_OTLP_ENDPOINT names one.",
    ),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65_535),
        metavar="PORT",
        help="Answer /metrics for Prometheus, /livez and /readyz on this port; 0 takes a free one. The "
        "second of several processes takes the next port, and so on.",
    ),
    click.option(
        "--metrics-host",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="The address to answer on; 0.0.0.0 lets other machines ask.",
    ),
    page_option,
    click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        default="auto",
        show_default=True,
        help="Log lines for people (console) or machines (json); auto: console on a terminal. With json, no "
        "table is drawn either.",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print the summary as one line of JSON to standard output, the last line there, and no table.",
    ),
    click.option("--quiet", is_flag=True, help="Print only warnings and errors; with --json, the summary."),
)
