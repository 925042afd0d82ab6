"""Layout: the fields of a resulting record, from those of the input record and the computed columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct, field

from rsq_pipe.model.row_records import maker

FieldPath: TypeAlias = tuple[str, ...]
"""The names from the top of a record to a field."""


def spell_path(path: FieldPath) -> str:
    """Format a path as written in a file."""
    return ".".join(part.replace(".", r"\.") for part in path)


class AllFields(Struct, frozen=True):
    """
    Take the record's own fields unchanged: `*`.

    Args:
        without: Names to leave out.
        renamed: Old name -> new name.
        replaced: Name -> the column that replaces it, whether it exists or not.
        cast: Name -> the column that replaces it, if it exists.
    """

    without: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    cast: Mapping[str, int] = field(default_factory=dict)


class OneField(Struct, frozen=True):
    """Take one field of the record unchanged; null if it does not exist."""

    name: str
    path: FieldPath


class Column(Struct, frozen=True):
    """Take a computed column, by its index."""

    name: str
    at: int


Item: TypeAlias = AllFields | OneField | Column
Record: TypeAlias = dict[str, Any]
Builder: TypeAlias = Callable[[Sequence[Record], Sequence[Sequence[Any]]], list[Record]]
"""Builds a record from each record and its row; ValueError if a name is taken."""


def builder(layout: Sequence[Item]) -> Builder:
    """Make the builder of records with a layout."""
    columns = [item for item in layout if isinstance(item, Column)]
    if len(columns) == len(layout) and [item.at for item in columns] == list(range(len(columns))):
        make = maker(tuple(item.name for item in columns))
        return lambda _records, rows: make(rows)
    return lambda records, rows: [
        _made(layout, record, row) for record, row in zip(records, rows, strict=True)
    ]


def _made(layout: Sequence[Item], record: Record, row: Sequence[Any]) -> Record:
    made: Record = {}
    for item in layout:
        if isinstance(item, AllFields):
            _put_all(made, item, record, row)
            continue
        if item.name in made:
            raise ValueError(
                f"field {item.name!r} is in the record already; write `* replace (... as {item.name})`, or "
                "`as` another name"
            )
        made[item.name] = row[item.at] if isinstance(item, Column) else value_at(record, item.path)
    return made


def _put_all(made: Record, item: AllFields, record: Record, row: Sequence[Any]) -> None:
    columns = {**item.cast, **item.replaced}
    if not (made or item.without or item.renamed or columns):
        made.update(record)
        return
    for name, value in record.items():
        if name in item.without:
            continue
        new = item.renamed.get(name, name)
        if new in made:
            raise ValueError(f"field {new!r} would appear twice; leave one out: `* exclude ({name})`")
        made[new] = row[columns[name]] if name in columns else value
    for name, at in item.replaced.items():
        made.setdefault(name, row[at])


def value_at(record: Record, path: FieldPath) -> Any:
    """Return a field's value; None if it does not exist."""
    at: Any = record
    for name in path:
        if type(at) is not dict:
            return None
        at = at.get(name)
    return at
