"""Columns: a csv file's header, and how the fields below it are read, many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from rsq_pipe.connectors.csv.field_types import PARSERS, FieldType, parser
from rsq_pipe.model.row_records import RowRecords
from rsq_pipe.streams.unique_keys import repeated, shown
from rsq_pipe.suggestion import suggest
from rsq_pipe.units import counted

_FORMS: dict[FieldType, str] = {
    "int": "int (12, -3)",
    "float": "float (12.5, 1e3)",
    "bool": "bool (true, false, yes, no, 1, 0)",
    "date": "date (YYYY-MM-DD)",
    "datetime": "datetime (YYYY-MM-DDTHH:MM:SS)",
    "decimal": "decimal (12.50)",
}

_NO_FORMATS: Mapping[str, str] = {}

_REMEMBERED = 8192
_TELLING = 64  # with this many fields, it shows whether many of them are equal


class HeaderError(ValueError):
    """The names of a header cannot be those of fields."""


class FieldError(ValueError):
    """
    A field has the wrong type.

    Attributes:
        name: Its column.
        kind: The type of the column.
        text: The field.
    """

    def __init__(self, message: str, *, name: str, kind: str, text: str) -> None:
        super().__init__(message)
        self.name = name
        self.kind = kind
        self.text = text


class Columns:
    """
    Turn rows into records.

    Args:
        header: The column names.
        types: Column -> type; a column not named here holds text.
        null_tokens: Fields that mean "no value".
        keep_empty: Whether an empty field of a text column stays an empty string.
        decimal: The character before the decimals of a number.
        formats: Column -> how its dates are written, if not in ISO 8601.
        trim: Whether white space around a field is removed.

    Raises:
        HeaderError: A column has no name, or that of another.
        ValueError: The file has no header, or `types` makes no sense.
    """

    def __init__(
        self,
        header: Sequence[str],
        types: Mapping[str, FieldType],
        null_tokens: Sequence[str],
        *,
        keep_empty: bool,
        decimal: str = ".",
        formats: Mapping[str, str] = _NO_FORMATS,
        trim: bool = False,
    ) -> None:
        check_header(header)
        _check_names(header, types, "types")
        _check_names(header, formats, "formats")
        null, null_or_empty = frozenset(null_tokens), frozenset([*null_tokens, ""])
        self._types = types
        self._formats = formats
        self._decimal = decimal
        self._trim = trim
        self._columns: list[tuple[str, Callable[[str], Any] | None, frozenset[str]]] = []
        for name in header:
            parse = parser(types.get(name, "str"), decimal=decimal, form=formats.get(name, ""))
            self._columns.append((name, parse, null if keep_empty and parse is None else null_or_empty))
        self._readers = [Column(parse, empty) for _, parse, empty in self._columns]
        self._names = tuple(header)

    def record(self, row: Sequence[str]) -> dict[str, Any]:
        """
        Make a record from a row.

        Raises:
            ValueError: The row has too many or too few fields, or a field has the wrong type.
        """
        if len(row) != len(self._columns):
            raise ValueError(f"{counted(len(row), 'field')} where the header has {len(self._columns)}")
        if self._trim:
            row = [field.strip() for field in row]
        record: dict[str, Any] = {}
        for (name, parse, null), text in zip(self._columns, row, strict=True):
            if text in null:
                record[name] = None
            elif parse is None:
                record[name] = text
            else:
                try:
                    record[name] = parse(text)
                except ValueError:
                    raise self._wrong(name, text) from None
        return record

    def __len__(self) -> int:
        return len(self._columns)

    def records(self, columns: Sequence[Sequence[str]]) -> RowRecords:
        """
        Make records from the rows of a table, up to the first row with a field of the wrong type.

        Args:
            columns: For each column, the fields of all rows.
        """
        readers = self._readers
        if self._trim:
            columns = [[field.strip() for field in fields] for fields in columns]
        try:
            values = [reader.values(fields) for reader, fields in zip(readers, columns, strict=True)]
        except ValueError:
            good = min(reader.good(fields) for reader, fields in zip(readers, columns, strict=True))
            values = [reader.values(fields[:good]) for reader, fields in zip(readers, columns, strict=True)]
        return RowRecords(self._names, [*zip(*values, strict=True)])

    def _wrong(self, name: str, text: str) -> FieldError:
        message = f"column {name!r}: {text[:80]!r} is not {self._form(name)}"
        kind = "" if name in self._formats else self._types[name]
        return FieldError(message, name=name, kind=kind, text=text[:80])

    def _form(self, name: str) -> str:
        """Describe what a field of a column should be."""
        if name in self._formats:
            return f"a date of the format {self._formats[name]!r}"
        form = f"of type {_FORMS[self._types[name]]}"
        return form.replace("12.5", "12,5") if self._decimal == "," else form


def check_header(header: Sequence[str]) -> None:
    """
    Check that the names of a header can be those of fields.

    Raises:
        HeaderError: A column has no name, or that of another.
        ValueError: There is none.
    """
    if not header:
        raise ValueError("the file does not begin with a header line")
    if "" in header:
        raise HeaderError(f"column {header.index('') + 1} of the header has no name")
    if len(frozenset(header)) < len(header):
        raise HeaderError(f"the header names column {shown(repeated(header))} twice")


def _check_names(header: Sequence[str], types: Collection[str], option: str) -> None:
    names = frozenset(header)
    for name in types:
        if name not in names:
            raise ValueError(
                f"`{option}` names a column {name!r} that the header has not; {suggest(name, header)}"
            )


class Column:
    """
    Read the fields of a column.

    Args:
        parse: Converts a field to a value; None for text.
        null: Fields that mean "no value".
    """

    def __init__(self, parse: Callable[[str], Any] | None, null: Collection[str]) -> None:
        self._parse = parse
        self._null = null
        self._remembered = None if parse is None else _Remembered(parse, null)

    def values(self, fields: Sequence[str]) -> Sequence[Any]:
        """
        Convert the fields of the column to values.

        Raises:
            ValueError: One of them has the wrong type.
        """
        null, parse = self._null, self._parse
        if parse is None:
            # Comparing with each is quicker than looking each up: a text just made has no hash yet.
            if not any(text in fields for text in null):
                return fields
            return [None if text in null else text for text in fields]
        if self._remembered is not None:
            return self._look_up(fields, self._remembered)
        if parse is PARSERS["int"] and "_" not in "".join(fields):
            parse = int  # which differs only in this
        return [None if text in null else parse(text) for text in fields]

    def good(self, fields: Sequence[str]) -> int:
        """Count the fields before the first one of the wrong type."""
        if self._parse is None:
            return len(fields)
        for place, text in enumerate(fields):
            if text not in self._null:
                try:
                    self._parse(text)
                except ValueError:
                    return place
        return len(fields)

    def _look_up(self, fields: Sequence[str], remembered: _Remembered) -> list[Any]:
        """Read fields most of which were read before: looking a value up is quicker than parsing it."""
        before = len(remembered)
        values = list(map(remembered.__getitem__, fields))
        if len(fields) >= _TELLING and (len(remembered) - before) * 2 > len(fields):
            self._remembered = None
        elif len(remembered) > _REMEMBERED:
            self._remembered = _Remembered(remembered.parse, self._null)
        return values


class _Remembered(dict[str, Any]):
    """Field -> value, parsed when it is first asked for."""

    def __init__(self, parse: Callable[[str], Any], null: Collection[str]) -> None:
        super().__init__(dict.fromkeys(null))
        self.parse = parse

    def __missing__(self, text: str) -> Any:
        value = self[text] = self.parse(text)
        return value
