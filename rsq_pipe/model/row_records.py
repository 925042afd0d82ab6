"""RowRecords: records of the same fields, kept as rows of values until one is needed as a dict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, TypeAlias, overload

from rsq_pipe.model.line_records import LazyRecords, LineRecords, Record

_LISTS = frozenset((list, tuple))

MOST_NAMES = 250
"""Fields from which the generated code of a dict would take too long to compile."""

KEPT = 256
"""Maximum number of cached record shapes."""

Maker: TypeAlias = Callable[[Iterable[Sequence[Any]]], list[dict[str, Any]]]


def made(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """
    Make a dict from each row.

    Raises:
        ValueError: A row has more or fewer values than there are names, or a name is not text.
    """
    return maker(tuple(names))(rows)


@lru_cache(maxsize=KEPT)
def maker(names: tuple[str, ...]) -> Maker:
    """Compile the function that makes dicts from rows with these names, all of them text."""
    if not all(type(name) is str for name in names):
        raise ValueError("a name of a field is not text")
    if not 0 < len(names) <= MOST_NAMES or len(set(names)) < len(names):
        return lambda rows: [dict(zip(names, row, strict=True)) for row in rows]
    # A dict display, {"a": v0, "b": v1}, takes little more than half the time of dict(zip(...)).
    values = [f"v{place}" for place in range(len(names))]
    pairs = ", ".join(f"{name!r}: {value}" for name, value in zip(names, values, strict=True))
    spelled = f"lambda rows: [{{{pairs}}} for {', '.join(values)}, in rows]"
    function: Maker = eval(spelled)  # noqa: S307  the names are spelled as literals, nothing else is theirs
    return function


class RowRecords(LazyRecords):
    """
    Hold records without a dict for each.

    A pack holds rows as well: making dicts, splitting them again and freeing them took an eighth of the CPU
    time for a year of flights from one CSV file to three.

    The dicts of all rows are made when the first one is accessed. From then on the dicts are the records:
    they may be changed.

    Args:
        names: The fields, all of them texts.
        rows: For each record the values of all fields; owned by this instance from now on.
    """

    __slots__ = ("_dicts", "_rows", "names")

    def __init__(self, names: tuple[str, ...], rows: list[Sequence[Any]]) -> None:
        self.names = names
        self._rows = rows
        self._dicts: list[Record] | None = None

    @property
    def rows(self) -> list[Sequence[Any]] | None:
        """The rows; None once a record has been accessed."""
        return self._rows if self._dicts is None else None

    def __len__(self) -> int:
        return len(self._rows) if self._dicts is None else len(self._dicts)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        if isinstance(place, slice) and self._dicts is None:
            return RowRecords(self.names, self._rows[place])
        return self._made()[place]

    def _made(self) -> list[Record]:
        if self._dicts is None:
            self._dicts, self._rows = maker(self.names)(self._rows), []
        return self._dicts


def row_records(names: Sequence[str], rows: list[Sequence[Any]]) -> RowRecords:
    """
    Wrap rows from outside as records.

    Raises:
        ValueError: A row has more or fewer values than there are names, or a name is not text.
    """
    fields = tuple(names)
    maker(fields)
    if type(rows) is not list or not {*map(type, rows)} <= _LISTS or not {*map(len, rows)} <= {len(fields)}:
        raise ValueError("a row has not as many values as there are names")
    return RowRecords(fields, rows)


def joined(records: Sequence[Record], more: Iterable[Record]) -> Sequence[Record]:
    """Append records to others, which may be changed; as rows or lines if both are such."""
    if not records:
        return more if isinstance(more, RowRecords | LineRecords) else [*more]
    if isinstance(records, LineRecords) and isinstance(more, LineRecords) and records.take(more):
        return records
    if isinstance(records, RowRecords) and (rows := records.rows) is not None:
        found = _rows(records.names, more)
        if found is not None:
            rows += found
            return records
    whole: list[Record] = records if isinstance(records, list) else [*records]
    whole.extend(more)
    return whole


def _rows(names: tuple[str, ...], records: Iterable[Record]) -> list[Sequence[Any]] | None:
    """Return records as rows of these fields; None if they have other fields, or another order."""
    if isinstance(records, RowRecords):
        return records.rows if records.names == names else None
    whole = [*records]
    return [(*record.values(),) for record in whole] if all((*one,) == names for one in whole) else None
