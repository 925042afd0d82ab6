"""`rsq-pipe init`: writes a project that runs at once."""

from __future__ import annotations

import os
import re
import shlex
import sys
from glob import escape
from pathlib import Path

import rich_click as click

from rsq_pipe.cli.output.printable import printable
from rsq_pipe.cli.project.sample import sample
from rsq_pipe.cli.project.templates import GITIGNORE, PYPROJECT, example, of_file
from rsq_pipe.errors import SourceError

_KEPT = {"pyproject.toml": PYPROJECT, ".gitignore": GITIGNORE}
"""Files that are not written if they already exist."""


@click.command("init")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".", metavar="[DIR]")
@click.option(
    "--from",
    "file",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="A csv or jsonl file to read; it stays where it is. The types of its fields are inferred from its "
    "first 1,000 records, and written into the pipeline.",
)
def command(folder: Path, file: Path | None) -> None:
    """
    Write a project that runs at once.

    A pipeline, handlers, a test and, without --from, some data, in DIR or here. Asks nothing, and overwrites
    nothing: where one of the files is there already, none is written.
    """
    files = _files(folder, file)
    there = [name for name in files if os.path.lexists(folder / name)]
    if there:
        raise click.UsageError(
            f"{printable(str(folder))!r} holds {', '.join(there)} already, and nothing is overwritten; "
            "name another folder: rsq-pipe init DIR"
        )
    files |= {name: text for name, text in _KEPT.items() if not os.path.lexists(folder / name)}
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as new:
                new.write(text)
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or folder} cannot be written: {exc.strerror}") from exc
    _print_next_steps(folder, list(files))


def _files(folder: Path, file: Path | None) -> dict[str, str]:
    if file is None:
        return example(_name(folder.resolve().name))
    try:
        found = sample(file)
    except (ValueError, SourceError) as exc:
        raise click.UsageError(f"--from: {exc}") from exc
    return of_file(_name(file.name.partition(".")[0]), escape(str(_path(folder, file))), found)


def _path(folder: Path, file: Path) -> Path:
    """Return a file's path from the folder, with links as they were given, or its whole path."""
    for base, path in ((folder.absolute(), file.absolute()), (folder.resolve(), file.resolve())):
        if ".." not in path.parts and path.is_relative_to(base):
            return path.relative_to(base)
    return file.resolve()


def _name(text: str) -> str:
    """Derive a pipeline's name from a file's or folder's name."""
    found = re.sub(r"[^a-z0-9_-]+", "-", text.lower()).strip("-_")
    return found if re.match(r"[a-z]", found) else f"pipeline-{found}".rstrip("-")


def _print_next_steps(folder: Path, files: list[str]) -> None:
    where = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    for name in files:
        sys.stdout.write(f"{printable(str(folder / name))}\n")
    sys.stdout.write(
        f"\nSee what each stage does:  {printable(where)}rsq-pipe preview pipeline.yaml\n"
        f"Run its tests:             {printable(where)}rsq-pipe test\n"
        f"Run it:                    {printable(where)}rsq-pipe run pipeline.yaml\n"
    )
