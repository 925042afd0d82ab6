"""Table: a lookup's file in memory, each row under its key."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.jsonl.json_object import UNREADABLE, parse
from rsq_pipe.connectors.wording import wording
from rsq_pipe.model.plain import is_plain
from rsq_pipe.spec.stages.lookup import FileRef
from rsq_pipe.spec.stages.table_file import LONGEST_LINE, columns_of, format_of
from rsq_pipe.suggestion import suggest
from rsq_pipe.verbs.tables.keys import Key, key_text, listed

_AT_ONCE = 10_000
"""Number of values that are checked at once for whether they are plain."""

Row = dict[str, Any]


class BrokenTableError(ValueError):
    """A file that is not a table: what is wrong with it, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Table:
    """
    Hold a file's rows.

    Args:
        rows: Key -> row, or only its requested columns, under their new names.
        flat: Whether no value is a list or a mapping.
        plain: Whether every value would come out of a stream unchanged.
    """

    rows: Mapping[Key, Row] = field(default_factory=dict, repr=False)
    flat: bool = True
    plain: bool = True


class Wanted(Struct, frozen=True):
    """
    Describe what is read from a file; lookups with equal descriptions share a table.

    Args:
        path: The file.
        file: How it is read.
        by: The columns that hold the key.
        fields: Column -> its new name; none for whole rows.
    """

    path: Path
    file: FileRef
    by: tuple[str, ...]
    fields: Mapping[str, str]

    @property
    def identity(self) -> str:
        """A text that is equal for equal descriptions."""
        return repr(self)


def load(wanted: Wanted) -> Table:
    """
    Read a whole file.

    Raises:
        BrokenTableError: It is not a table, or has too many rows.
        OSError: It cannot be read.

    Blocking: call it in a thread.
    """
    name, most = wanted.file.path, wanted.file.max_rows
    rows: dict[Key, Row] = {}
    lines: dict[Key, int] = {}
    seen: set[str] = set()
    for line, row in _rows(wanted):
        key = _key(wanted, line, row)
        first = lines.setdefault(key, line)
        if first != line:
            named = f"{', '.join(wanted.by)} {listed(key if isinstance(key, tuple) else (key,))!r}"
            raise BrokenTableError(
                f"{name}:{line}: {named} is already in line {first}; a key may have one row, remove one"
            )
        if len(lines) > most:
            raise BrokenTableError(
                f"{name} has more than `max_rows`, {most:,} rows; raise it if there is memory for them, "
                "or keep them in a database"
            )
        if wanted.fields:
            seen.update(row)
        rows[key] = {to: row.get(column) for column, to in wanted.fields.items()} if wanted.fields else row
    for column in wanted.fields:
        if rows and column not in seen:
            raise BrokenTableError(f"{name} has no column {column!r}; {suggest(column, sorted(seen))}")
    flat, plain = _nature(rows)
    return Table(rows, flat, plain)


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Return values that change when the file does; None if there is no file."""
    try:
        found = os.stat(path)  # noqa: PTH116  a third of the time of Path.stat
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _key(wanted: Wanted, line: int, row: Row) -> Key:
    name = wanted.file.path
    parts: list[str] = []
    for column in wanted.by:
        if column not in row:
            raise BrokenTableError(f"{name}:{line}: there is no {column!r}; {suggest(column, row)}")
        try:
            part = key_text(row[column])
        except ValueError as exc:
            raise BrokenTableError(f"{name}:{line}: {column!r}: {exc}") from exc
        if part is None:
            raise BrokenTableError(f"{name}:{line}: {column!r} is empty; a row needs a key")
        parts.append(part)
    return parts[0] if len(parts) == 1 else tuple(parts)


def _rows(wanted: Wanted) -> Iterator[tuple[int, Row]]:
    """Yield the rows, each with the line where it begins."""
    if format_of(wanted.file) == "jsonl":
        yield from _objects(wanted)
        return
    name = wanted.file.path
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    with wanted.path.open(encoding="utf-8-sig", newline="") as text:
        # strict: an unclosed quote is an error, instead of a field with the rest of the file.
        reader = csv.reader(text, delimiter=wanted.file.delimiter, strict=True)
        begin = 1
        try:
            columns = columns_of(wanted.file, next(reader, []))
            begin = reader.line_num + 1
            for row in reader:
                if row:
                    yield begin, columns.record(row)
                begin = reader.line_num + 1
        except BrokenTableError:
            raise
        except (csv.Error, ValueError) as exc:
            raise BrokenTableError(f"{name}:{begin}: {wording(exc)}") from exc


def _objects(wanted: Wanted) -> Iterator[tuple[int, Row]]:
    name = wanted.file.path
    number = 0
    with wanted.path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = parse(line)
            except UNREADABLE as exc:
                raise BrokenTableError(f"{name}:{number}: {wording(exc)}") from exc
            yield number, row
    if not number:
        # A file that is being rewritten is empty for a moment.
        raise BrokenTableError(f"{name}: the file is empty; a table has a row a line")


def _nature(rows: Mapping[Key, Row]) -> tuple[bool, bool]:
    """Return whether rows are flat, and whether all their values are plain."""
    flat = plain = True
    values: list[Any] = []
    for row in rows.values():
        for value in row.values():
            if type(value) in {dict, list}:
                flat = False
                values += _leaves(value)
            else:
                values.append(value)
        if len(values) > _AT_ONCE:
            plain = plain and is_plain(values)
            values = []
    return flat, plain and is_plain(values)


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) in {dict, list}:
            waiting += one.values() if type(one) is dict else one
        else:
            yield one
