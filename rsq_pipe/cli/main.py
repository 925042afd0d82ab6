"""The command line: finds the command, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import rich_click as click
from click.exceptions import Exit
from rich_click.rich_context import RichContext

from rsq_pipe.cli.errors import FAILED, WRONG_SPEC, exit_code, report, report_fault, unusable_name, unwritable
from rsq_pipe.cli.other_words import OTHER_COMMANDS, OTHER_OPTIONS
from rsq_pipe.cli.output.printable import printable
from rsq_pipe.cli.standard_error import outlast_standard_error
from rsq_pipe.engine.processes.supervised import report_exit_code
from rsq_pipe.errors import RsqPipeError
from rsq_pipe.suggestion import suggest
from rsq_pipe.version import __version__

# Name -> (module, summary for `--help`). A command's module is imported only when the command is called:
# `--help` must be fast, and must work even if another command's dependencies are broken.
COMMANDS = {
    "init": ("rsq_pipe.cli.init", "Write a project that runs at once."),
    "run": ("rsq_pipe.cli.run", "Run a pipeline."),
    "dev": ("rsq_pipe.cli.dev", "Run a pipeline while you write it."),
    "preview": ("rsq_pipe.cli.preview", "Show the first records before and after each stage."),
    "test": ("rsq_pipe.cli.test", "Run the tests of pipelines."),
    "status": ("rsq_pipe.cli.status", "Show how a pipeline is doing."),
    "pipelines": ("rsq_pipe.cli.pipelines", "List the pipelines of a server."),
    "serve": ("rsq_pipe.cli.serve", "Serve a web page, and a JSON API, for the pipelines of a server."),
    "delete": ("rsq_pipe.cli.delete", "Delete everything a pipeline has on a server."),
    "plan": ("rsq_pipe.cli.plan", "Show what a run would do after the file has changed."),
    "top": ("rsq_pipe.cli.top", "Watch a pipeline on this terminal, with keys to pause, look and replay."),
    "pause": ("rsq_pipe.cli.pause", "Pause stages until they are resumed."),
    "resume": ("rsq_pipe.cli.resume", "Let paused stages go on."),
    "repair": ("rsq_pipe.cli.repair", "Let a sink go on in a file that is not as the pipeline left it."),
    "graph": ("rsq_pipe.cli.graph", "Draw a pipeline."),
    "docs": ("rsq_pipe.cli.docs", "Print a page about a pipeline, in Markdown."),
    "state": ("rsq_pipe.cli.state", "Show what a stage remembers."),
    "peek": ("rsq_pipe.cli.peek", "Show the records that wait for a stage."),
    "dlq": ("rsq_pipe.cli.dlq.group", "Look at dead letters, edit them, send them back."),
    "trace": ("rsq_pipe.cli.trace", "Draw the path of one record through its pipeline."),
    "doctor": ("rsq_pipe.cli.doctor", "Check a server for what a pipeline needs of it."),
    "acl": ("rsq_pipe.cli.acl", "Print the users a pipeline needs on its server, with the least rights."),
    "validate": ("rsq_pipe.cli.validate", "Check pipeline files without running them."),
    "connectors": (
        "rsq_pipe.cli.connectors",
        "List the available sources and sinks, or show the settings of one.",
    ),
    "schema": ("rsq_pipe.cli.schema", "Print the JSON Schema of pipeline files."),
    "completion": ("rsq_pipe.cli.completion", "Print a script that completes commands in the shell."),
}
DEBUG = "RSQ_DEBUG"

BEGIN = """\
Declarative pipelines on Redis Streams. Begin with:

    rsq-pipe init shop                      a project that runs at once
    rsq-pipe preview shop/pipeline.yaml     what each stage does to the first records
    rsq-pipe run shop/pipeline.yaml         run it, with a bundled server

All commands: rsq-pipe --help
"""
"""Output of `rsq-pipe` without arguments."""


class LazyGroup(click.RichGroup):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return LazyCommand(cmd_name, *COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Not while the shell completes a line: the error would be printed into the user's input.
        named = args and not args[0].startswith("-") and not ctx.resilient_parsing
        if named and args[0] not in COMMANDS:
            fix = OTHER_COMMANDS.get(args[0]) or suggest(args[0], COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}; {fix}")
        return super().resolve_command(ctx, args)


class LazyCommand(click.RichCommand):
    """A name and a summary in a list of commands; becomes the command itself when it is called."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name=name, help=summary)
        self._module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> RichContext:
        command: click.RichCommand = import_module(self._module).command
        try:
            context = command.make_context(info_name, args, parent, **extra)
        except click.NoSuchOption as exc:
            fix = OTHER_OPTIONS.get(exc.option_name)
            if fix is None:
                raise
            raise click.UsageError(f"there is no option {exc.option_name}; {fix}", exc.ctx) from exc
        assert isinstance(context, RichContext)
        return context


@click.group(
    cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="rsq-pipe", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help=f"Show tracebacks of faults in rsq-pipe itself; also {DEBUG}=1.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """Declarative pipelines on Redis Streams: nothing lost, nothing duplicated, every failure replayable."""
    if debug:
        os.environ[DEBUG] = "1"
    if ctx.invoked_subcommand is None:
        sys.stdout.write(BEGIN)


def main() -> None:
    """Run the command line, and exit with its code."""
    _open_closed_streams()
    outlast_standard_error()
    # Until a command handles Ctrl-C itself, it ends the process silently. A KeyboardInterrupt in the middle
    # of an import would appear as an error of the imported module.
    interrupted = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        code = cli(standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as exc:
        # A user may have put a URL with its password in the wrong place, where errors quote it.
        exc.message = printable(exc.message)  # type: ignore[misc]  # click says Final, and reads it late
        exc.show()
        code = exc.exit_code
        report_exit_code(code)
    except Exit as exc:
        code = exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:
        _leave_standard_output()
        code = 0
    except RsqPipeError as exc:
        report(exc)
        code = exit_code(exc)
        report_exit_code(code)
    except Exception as exc:  # noqa: BLE001  anything else is our fault and not the user's
        if why := unwritable(exc):
            _leave_standard_output()
            sys.stderr.write(f"rsq-pipe: {printable(why)}\n")
            code = FAILED
            report_exit_code(code)
        elif why := unusable_name(exc):
            sys.stderr.write(f"rsq-pipe: {printable(why)}\n")
            code = WRONG_SPEC
            report_exit_code(code)
        else:
            code = report_fault(exc, debug=os.environ.get(DEBUG, "") not in ("", "0"))
    finally:
        signal.signal(signal.SIGINT, interrupted)
    sys.exit(code if isinstance(code, int) else 0)


def _open_closed_streams() -> None:
    """Replace standard streams closed by `>&-`: Python has none there, and a file might take their number."""
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(nowhere, "w", encoding="utf-8"))


def _leave_standard_output() -> None:
    """Discard Python's own flush at exit: the reader (such as `head`) is gone, or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
