"""Column: the fields of one csv column, read many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from rsq_pipe.connectors.csv.field_types import PARSERS

_REMEMBERED = 8192
_TELLING = 64  # fields from which on it can be told whether many of them are equal


class Column:
    """
    Read the fields of a column.

    Args:
        parse: What reads a field; None for text.
        null: Fields that mean "no value".
    """

    def __init__(self, parse: Callable[[str], Any] | None, null: Collection[str]) -> None:
        self._parse = parse
        self._null = null
        self._remembered = None if parse is None else _Remembered(parse, null)

    def values(self, fields: Sequence[str]) -> Sequence[Any]:
        """
        Read fields.

        Raises:
            ValueError: One of them is not of the column's type.
        """
        null, parse = self._null, self._parse
        if parse is None:
            # To compare with each is quicker than to look each up: a text just made has no hash yet.
            if not any(text in fields for text in null):
                return fields
            return [None if text in null else text for text in fields]
        if self._remembered is not None:
            return self._look_up(fields, self._remembered)
        if parse is PARSERS["int"] and "_" not in "".join(fields):
            parse = int  # which differs in this alone
        return [None if text in null else parse(text) for text in fields]

    def good(self, fields: Sequence[str]) -> int:
        """Count the fields before the first that is not of the column's type."""
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
        """Read fields of which most were read before: to look a value up is quicker than to parse it."""
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
