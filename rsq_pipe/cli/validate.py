"""`rsq-pipe validate`: every mistake in pipeline files, without running them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.errors import DONE, WRONG_SPEC
from rsq_pipe.cli.printable import on_one_line
from rsq_pipe.spec.loader import Checked, check
from rsq_pipe.spec.namesakes import Namesakes
from rsq_pipe.spec.problem import Problem

SUFFIXES = (".yaml", ".yml")


@click.command("validate")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.pass_context
def command(ctx: click.Context, files: tuple[str, ...]) -> None:
    """
    Check pipeline files without running them.

    FILE may be a folder, for all .yaml and .yml files in it and below, or a pattern. Needs no server.
    Every mistake is printed as `file:line:column: path: what; fix`. Exit code 0 if there is none, else 2.
    Of files given together, it warns where two name the same pipeline: they would share its streams.
    """
    wrong = False
    namesakes = Namesakes()
    for path in _expand(files):
        checked = _missing(path) if isinstance(path, str) else namesakes.told(path, check(path))
        for problem in checked.problems:
            sys.stdout.write(f"{on_one_line(str(problem))}\n")
        wrong |= checked.graph is None
        if checked.graph is not None:
            stages, warnings = len(checked.graph.stages), len(checked.problems)
            shown = on_one_line(str(path))
            sys.stdout.write(f"{shown}: ok, {_count(stages, 'stage')}, {_count(warnings, 'warning')}\n")
    ctx.exit(WRONG_SPEC if wrong else DONE)


def _expand(files: Iterable[str]) -> Iterator[Path | str]:
    """Yield the files meant, and the arguments that mean none as they are."""
    for file in files:
        path = Path(file)
        if path.is_dir():
            found = sorted(inner for inner in path.rglob("*") if _is_meant(inner.relative_to(path)))
        elif has_magic(file) and not path.exists():
            found = sorted(Path(inner) for inner in glob(file, recursive=True))  # noqa: PTH207  absolute, too
        else:
            found = [path]
        if found:
            yield from found
        else:
            yield file


def _is_meant(path: Path) -> bool:
    """Leave out hidden folders: a `.venv` holds many YAML files, and no pipeline."""
    return path.suffix in SUFFIXES and not any(part.startswith(".") for part in path.parts)


def _missing(argument: str) -> Checked:
    what = "there are no .yaml files in this folder" if Path(argument).is_dir() else "no file matches"
    return Checked(None, (Problem(argument, 1, 1, "", what, "check the name"),))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
