"""`rsq-pipe validate`: report every mistake in pipeline files, without running them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from glob import has_magic
from pathlib import Path

import rich_click as click
from msgspec.structs import replace

from rsq_pipe.cli.errors import DONE, NO_SERVER, WRONG_SPEC
from rsq_pipe.cli.options.server_url import VARIABLE, given
from rsq_pipe.cli.output.printable import on_one_line, remark
from rsq_pipe.connectors.files.matching import TooManyError, matching
from rsq_pipe.errors import SpecSyntaxError, SpecValidationError
from rsq_pipe.spec.graph import Graph
from rsq_pipe.spec.loader import Checked, check
from rsq_pipe.spec.problem import Problem
from rsq_pipe.units import counted

SUFFIXES = (".yaml", ".yml")
TESTS = ("_test.yaml", "_test.yml")
_SECRET_UNSET = re.compile(r"secret \w+ is not set$")


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--connect",
    is_flag=True,
    help="Also try to reach what each file names: its server, and what its sources and sinks talk to.",
)
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Secrets that a file names, `${secret:NAME}`, need not be set: for continuous integration.",
)
@click.option(
    "--redis",
    "url",
    metavar="URL",
    envvar=VARIABLE,
    callback=given,
    help="With --connect: the server, instead of the spec's. Also RSQ_PIPE_REDIS.",
)
@click.pass_context
def command(
    ctx: click.Context, files: tuple[str, ...], connect: bool, without_secrets: bool, url: str | None
) -> None:
    """
    Check pipeline files without running them.

    FILE may be a folder, for all .yaml and .yml files in it and below, or a pattern. Needs no server. Tests,
    orders_test.yaml, are checked as such, and not run.
    Every mistake is printed as `file:line:column: path: what; fix`. Exit code 0 if there is none, else 2.
    If two of the files name the same pipeline, it warns: they would share its streams. With --connect it
    prints for each system that a file names whether it can be reached, waiting some ten seconds for an
    answer; nothing is changed there. Exit code 3 if one cannot. It also compares the columns of tables with
    the fields that records have by the file.
    """
    if connect and without_secrets:
        what = "--connect needs the secrets to reach what a file names; leave one of the two out"
        raise click.UsageError(what)
    wrong = unreached = unset = False
    namesakes = Namesakes()
    for path in _expand(files):
        if isinstance(path, Path) and path.name.endswith(TESTS) and path.exists():
            wrong |= not _are_tests(path)
            continue
        checked = (
            path
            if isinstance(path, Checked)
            else namesakes.with_warning(path, check(path, secrets=not without_secrets))
        )
        for problem in checked.problems:
            sys.stdout.write(f"{on_one_line(str(problem))}\n")
            unset |= _SECRET_UNSET.match(problem.what) is not None
        wrong |= checked.graph is None
        if checked.graph is not None:
            stages, warnings = len(checked.graph.stages), len(checked.problems)
            shown = on_one_line(str(path))
            sys.stdout.write(f"{shown}: ok, {counted(stages, 'stage')}, {counted(warnings, 'warning')}\n")
            if connect:
                unreached |= not _all_reached(checked.graph, url, shown)
                wrong |= not _all_fit(checked.graph)
    if unset:
        remark("if secrets are not set where this runs, --without-secrets checks the files without them")
    ctx.exit(WRONG_SPEC if wrong else NO_SERVER if unreached else DONE)


def _are_tests(path: Path) -> bool:
    """Print what is wrong with a test file, or how many tests it has."""
    from rsq_pipe.testing.cases.reading import read_cases  # noqa: PLC0415  where there are tests

    try:
        cases = read_cases(path).cases
    except SpecSyntaxError as exc:
        problems: Sequence[Problem] = (exc.problem,)
    except SpecValidationError as exc:
        problems = exc.problems
    else:
        sys.stdout.write(f"{on_one_line(str(path))}: ok, {counted(len(cases), 'test')}\n")
        return True
    for problem in problems:
        sys.stdout.write(f"{on_one_line(str(problem))}\n")
    return False


def _all_reached(graph: Graph, url: str | None, shown: str) -> bool:
    """Print for each system that a pipeline talks to whether it was reached."""
    from rsq_pipe.cli.options.server_address import connect  # noqa: PLC0415  the client library; not to check a file
    from rsq_pipe.ops.reach import reach  # noqa: PLC0415

    address = url or graph.redis_url
    whole = True
    for one in reach(graph, connect(address) if address else None):
        sys.stdout.write(f"{shown}: {on_one_line(str(one))}\n")
        sys.stdout.flush()
        whole &= not one.fault
    return whole


def _all_fit(graph: Graph) -> bool:
    """Print what of the tables of a pipeline's sinks and lookups does not fit its file and its records."""
    from rsq_pipe.ops.columns import column_problems  # noqa: PLC0415  not to check a file alone
    from rsq_pipe.ops.reach import SECONDS  # noqa: PLC0415

    problems = column_problems(graph, SECONDS)
    for problem in problems:
        sys.stdout.write(f"{on_one_line(str(problem))}\n")
    return all(problem.severity == "warning" for problem in problems)


def _expand(files: Iterable[str]) -> Iterator[Path | Checked]:
    """Yield the files that an argument matches, or an error if it matches none."""
    for file in files:
        try:
            found = sorted(_meant(file))
        except TooManyError as exc:
            yield _wrong(file, str(exc), "name the folder the files are in")
            continue
        if not found:
            what = "there are no .yaml files in this folder" if Path(file).is_dir() else "no file matches"
            yield _wrong(file, what, "check the name")
        yield from found


def _meant(file: str) -> Iterator[Path]:
    path = Path(os.path.normpath(file))
    if path.is_dir():
        # Hidden folders are left out: a `.venv` holds many YAML files but no pipeline.
        yield from (inner for suffix in SUFFIXES for inner in matching(path, f"**/*{suffix}"))
    elif has_magic(file) and not path.exists():
        yield from (inner for inner in matching(Path(path.anchor), file) if not inner.is_dir())
    else:
        yield Path(file)


def _wrong(argument: str, what: str, fix: str) -> Checked:
    return Checked(None, (Problem(argument, 1, 1, "", what, fix),))


class Namesakes:
    """Remember which file first named a pipeline, and warn of another that names it."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[Path, str]] = {}

    def with_warning(self, path: Path, checked: Checked) -> Checked:
        """
        Return a check's result, with a warning if an earlier file names the same pipeline.

        Only a warning: it does harm only if both run on one server, and `--redis` overrides the file.
        """
        graph = checked.graph
        if graph is None or checked.named_at is None:
            return checked
        line, column = checked.named_at
        # Pipelines on different servers share nothing, and each root has its own embedded server.
        name = (graph.pipeline, graph.redis_url or str(graph.root))
        file, place = self._first.setdefault(name, (path.resolve(), f"{path}:{line}"))
        if file == path.resolve():
            return checked
        what = f"{place} names its pipeline {graph.pipeline!r} too; on one server they share all streams"
        problem = Problem(str(path), line, column, "pipeline", what, "give each its own name", "warning")
        return replace(checked, problems=tuple(sorted((*checked.problems, problem))))
