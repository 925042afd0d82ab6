"""Table file: the checks of a lookup's file before a pipeline runs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from rsq_pipe.connectors.csv.columns import Columns
from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.root import paths_start
from rsq_pipe.spec.stages.lookup import FORMATS, FileRef, Lookup
from rsq_pipe.suggestion import near, suggest

LONGEST_LINE = 1024 * 1024


def format_of(file: FileRef) -> str:
    """Return how a file is read: `csv` or `jsonl`."""
    return FORMATS[Path(file.path).suffix.lower()]


def columns_of(file: FileRef, header: Sequence[str]) -> Columns:
    """Make the reader of a CSV file's rows; ValueError if the header or `types` cannot be right."""
    return Columns(header, file.types, file.na, keep_empty=file.keep_empty)


def check_table(document: Document, lookup: Lookup, path: Path_, *, root: Path) -> None:
    """
    Report a missing file, or missing columns; servers are not contacted.

    Args:
        path: The path of `lookup` in the document.
        root: The project root.
    """
    file = lookup.table
    if not isinstance(file, FileRef) or document.failed(path):
        return
    at = _place_of_path(document, (*path, "table"))
    found = root / file.path
    if not found.is_file():
        what = f"{file.path!r} is not a file" if found.exists() else f"there is no file {file.path!r}"
        beside = [one.name for one in found.parent.iterdir()] if found.parent.is_dir() else []
        near_by = near(found.name, [name for name in beside if name != found.name])
        fix = f"did you mean {str(Path(file.path).with_name(near_by))!r}?" if near_by else ""
        document.report(at, what, fix or paths_start(root, Path(document.file), file.path))
        return
    try:
        names = _names(found, file)
    except OSError as exc:
        document.report(at, f"{file.path!r} cannot be read: {exc.strerror}", "check who may read it")
        return
    except ValueError as exc:
        what, _, fix = f"{file.path}:1: {wording(exc)}".partition("; ")
        document.report(at, what, fix)
        return
    whole = f"{file.path!r} has no column"
    # The rows of jsonl may differ in their fields.
    check_columns(document, lookup, path, names, whole, copied=format_of(file) == "csv")


def _names(found: Path, file: FileRef) -> Sequence[str]:
    """Read the columns of a CSV file, or the fields of a JSONL file's first object."""
    if format_of(file) == "jsonl":
        with found.open("rb") as lines:
            first = lines.readline(LONGEST_LINE)
        if not first.strip():
            raise ValueError("the file holds no object; a table has a row a line")
        try:
            return list(parse(first))
        except UNREADABLE as exc:
            raise ValueError(str(exc)) from exc
    with found.open(encoding="utf-8-sig", newline="") as text:
        try:
            header = next(csv.reader(text, delimiter=file.delimiter, strict=True), [])
        except csv.Error as exc:
            raise ValueError(str(exc)) from exc
    columns_of(file, header)
    return header


def check_columns(
    document: Document,
    lookup: Lookup,
    path: Path_,
    names: Sequence[str],
    whole: str,
    *,
    copied: bool = True,
) -> None:
    """
    Report columns that a lookup names and its table does not have.

    Args:
        path: The path of `lookup` in the document.
        names: The columns of the table.
        whole: The beginning of the message: `FILE has no column`.
        copied: Whether to check those that are copied as well as those of the key.
    """
    setting = "by" if (*path, "by") in document.values else "key"
    for at, column in enumerate(lookup.by):
        if column not in names:
            place: Path_ = (*path, setting)
            if (*place, at) in document.values:
                place = (*place, at)
            fix = suggest(column, names)
            fix = fix if setting == "by" else f"name the table's own: `by: COLUMN`; {fix}"
            document.report(place, f"{whole} {column!r}", fix)
    for at, column in enumerate(lookup.fields if copied else ()):
        if column not in names:
            place = (*path, "fields", column)
            key = place in document.values
            document.report(
                place if key else (*path, "fields", at),
                f"{whole} {column!r}",
                suggest(column, names),
                key=key,
            )


def _place_of_path(document: Document, path: Path_) -> Path_:
    """Return the path of the file's name: `table`, `table.file` or `table.file.path`."""
    for inner in ("file", "path"):
        if (*path, inner) in document.values:
            path = (*path, inner)
    return path
