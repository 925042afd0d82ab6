"""`rsq-pipe test`: compare what a pipeline does with given records with what it should do."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import rich_click as click

from rsq_pipe import redaction
from rsq_pipe.cli.capture import command as capture
from rsq_pipe.cli.capture import write
from rsq_pipe.cli.errors import FAILED
from rsq_pipe.cli.output.case_text import described, junit, lines
from rsq_pipe.cli.output.console import console
from rsq_pipe.cli.output.printable import json_line, on_one_line, printable
from rsq_pipe.errors import SpecError, SpecSyntaxError, SpecValidationError
from rsq_pipe.suggestion import suggest
from rsq_pipe.telemetry.logs import set_up
from rsq_pipe.testing.cases.case import Case, CaseFile
from rsq_pipe.testing.cases.reading import SUFFIXES, read_cases, test_files, tests_of
from rsq_pipe.testing.cases.results import CaseResult, results_of
from rsq_pipe.testing.cases.updating import NotUpdatableError, updated

CAPTURE = "capture"


class TestGroup(click.RichGroup):
    """A command with an optional argument, and a subcommand."""

    __test__ = False

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the word `capture` as the subcommand, and allow options after the argument."""
        if args[:1] == [CAPTURE]:
            return super().parse_args(ctx, ["", *args])
        ctx.allow_interspersed_args = True
        return super().parse_args(ctx, args)


class _Path(click.Argument):
    """An argument that the usage of the subcommand does not show."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Leave it out of the subcommand's usage."""
        return [] if ctx.info_name == CAPTURE else super().get_usage_pieces(ctx)


@click.command(
    "test",
    cls=TestGroup,
    invoke_without_command=True,
    subcommand_metavar="",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("path", cls=_Path, type=click.Path(path_type=Path), required=False, metavar="[SPEC|DIR]")
@click.option("-k", "words", multiple=True, metavar="WORDS", help="Only tests whose name holds these words.")
@click.option(
    "--stage", "stages", multiple=True, metavar="NAME", help="Only tests that this stage takes part in."
)
@click.option(
    "--update",
    is_flag=True,
    help="Write what happened into the files where it differs from what is expected. Comments stay; look at "
    "the diff before you commit it.",
)
@click.option(
    "--junit",
    "report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the results as JUnit XML.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per test.")
@click.pass_context
def command(  # noqa: PLR0917  one parameter per option
    ctx: click.Context,
    path: Path | None,
    words: tuple[str, ...],
    stages: tuple[str, ...],
    update: bool,
    report: Path | None,
    as_json: bool,
) -> None:
    """
    Run the tests of pipelines.

    SPEC is a pipeline's file, whose tests are beside it (orders_test.yaml for orders.yaml), or the test file
    itself. Without it, all tests below DIR, or below the current folder, are run. No server is needed:
    records go through the stages in memory, handlers are called, sinks write nothing. `rsq-pipe test capture`
    writes a test of a dead letter, or of a record that was read. Exit code 0: all passed; 1: some failed; 2:
    a file is wrong, or there is no such test.
    """
    if ctx.invoked_subcommand is not None:
        return
    set_up("auto", level=logging.WARNING)
    started = time.perf_counter()
    read = _read(_files(path))
    files = [_chosen(file, words, stages) for file in read]
    if not any(file.cases for file in files):
        names = [case.name for file in read for case in file.cases]
        asked = " ".join((*words, *stages))
        raise click.UsageError(f"no test matches {printable(asked)!r}; {suggest(asked, names)}")
    results: dict[Path, list[CaseResult]] = {}
    for file in files:
        if file.cases:
            results[file.path] = asyncio.run(_run(file, as_json=as_json))
    if report is not None:
        write(report, junit(results))
    found = [result for of_file in results.values() for result in of_file]
    if update:
        _update(results)
    elif not as_json:
        _print_counts(found, time.perf_counter() - started)
    if not update and not all(result.is_passed for result in found):
        ctx.exit(FAILED)


command.add_command(capture, CAPTURE)


def _files(path: Path | None) -> list[Path]:
    """Find the test files to run."""
    folder = path or Path()
    if folder.is_dir():
        files = list(test_files(folder))
        if not files:
            where = "here or below" if path is None else f"in {printable(str(path))!r}"
            raise click.UsageError(
                f"there is no test {where}: a file such as orders_test.yaml beside orders.yaml; "
                "`rsq-pipe init` writes one, and `rsq-pipe test capture`"
            )
        return files
    assert path is not None
    if path.name.endswith(SUFFIXES):
        return [path]
    tests = tests_of(path)
    if path.is_file() and not tests.is_file():
        raise click.UsageError(
            f"there is no {printable(str(tests))!r}, where the tests of {printable(str(path))!r} would stand"
        )
    return [tests if tests.is_file() else path]


def _read(files: Sequence[Path]) -> list[CaseFile]:
    """Read test files, and report the mistakes of all of them at once."""
    read, mistakes = [], []
    for file in files:
        try:
            found = read_cases(file)
        except SpecSyntaxError as exc:
            mistakes.append(exc.problem)
        except SpecValidationError as exc:
            mistakes += exc.problems
        else:
            redaction.add(found.graph.secrets)
            read.append(found)
    if mistakes:
        raise SpecValidationError(list(dict.fromkeys(mistakes)))
    return read


def _chosen(file: CaseFile, words: Sequence[str], stages: Sequence[str]) -> CaseFile:
    def is_meant(case: Case) -> bool:
        names = {stage.name for stage in case.stages}
        is_named = all(word.lower() in case.name.lower() for word in words)
        return is_named and (not stages or bool(names & set(stages)))

    return CaseFile(file.path, file.graph, [case for case in file.cases if is_meant(case)])


async def _run(file: CaseFile, *, as_json: bool) -> list[CaseResult]:
    screen, found = console(), []
    if not as_json:
        screen.print(on_one_line(str(file.path)), style="bold", soft_wrap=True)
    out = screen.file = sys.stdout
    with redirect_stdout(sys.stderr):  # output of handlers
        async for result in results_of(file.cases):
            found.append(result)
            if as_json:
                out.write(json_line(described(result)))
                continue
            for line in lines(result):
                screen.print(line, soft_wrap=True)
    return found


def _print_counts(found: Sequence[CaseResult], seconds: float) -> None:
    failed = sum(not result.is_passed for result in found)
    passed = len(found) - failed
    counts = [f"{passed} passed"] if passed or not failed else []
    counts += [f"{failed} failed"] if failed else []
    console().print(f"\n{', '.join(counts)} in {seconds:.2f}s", style="bold red" if failed else "bold green")


def _update(results: dict[Path, list[CaseResult]]) -> None:
    for path, found in results.items():
        stale = [(one.case, one.happened) for one in found if not one.is_passed and not one.error]
        if not stale:
            continue
        try:
            text = updated(path.read_text(encoding="utf-8"), stale)
        except NotUpdatableError as exc:
            raise SpecError(f"{path}: {exc}") from exc
        write(path, text)
        names = ", ".join(repr(case.name) for case, _ in stale)
        console().print(f"\n{on_one_line(str(path))}: updated {on_one_line(names)}", soft_wrap=True)
