"""MadeTypes: the types of the columns of a table that is created for records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.ledger.columns import made_columns
from rsq_pipe.connectors.record_id import FIELD

_BIGGEST = 2**63


class MadeTypes(Struct, frozen=True):
    """
    Name a database's types for values.

    Args:
        boolean: True and false.
        whole: Whole numbers of 64 bits.
        large: Larger ones.
        real: All other numbers.
        nested: Lists and objects.
        text: Everything else, and values of several kinds.
        mixed: For numbers of several of these types: the first of them that is one of the column's.
    """

    boolean: str
    whole: str
    large: str
    real: str
    nested: str
    text: str
    mixed: tuple[str, ...]

    def of(self, records: Sequence[Any], fields: Mapping[str, str] | None, *, rid: bool) -> dict[str, str]:
        """
        Return the columns of a table for these records, each with its type; none if no record has a field.

        Args:
            records: The records of the first batch.
            fields: Column -> field, as the user wrote it; None for all fields of the first record.
            rid: Whether a column gets the record's id.
        """
        made = made_columns(records, fields)
        mappings = [record for record in records if isinstance(record, dict)]
        types = {
            name: self._common(self._kind(record.get(field)) for record in mappings)
            for name, field in made.items()
        }
        return {FIELD: self.text, **types} if rid and types else types

    def _kind(self, value: Any) -> str:
        match value:
            case None:
                return ""
            case bool():
                return self.boolean
            case int():
                return self.whole if -_BIGGEST <= value < _BIGGEST else self.large
            case float():
                return self.real
            case dict() | list() | tuple():
                return self.nested
        return self.text

    def _common(self, kinds: Iterable[str]) -> str:
        """Choose a type that all values of a column have."""
        own = {kind for kind in kinds if kind}
        if len(own) == 1:
            return own.pop()
        if own and own <= {self.whole, self.large, self.real}:
            return next(kind for kind in self.mixed if kind in own)
        return self.text


def definitions(types: Mapping[str, str], key: Sequence[str], listed: Callable[[Iterable[str]], str]) -> str:
    """
    Write what stands in the brackets of a CREATE TABLE.

    Args:
        types: Column -> type.
        key: The columns of the primary key; empty for none.
        listed: Quotes the names of columns.
    """
    parts = [f"{listed([name])} {kind}" for name, kind in types.items()]
    if key:
        parts.append(f"primary key ({listed(key)})")
    return ", ".join(parts)


def check_names(names: Iterable[str], fits: Callable[[str], bool]) -> None:
    """
    Check the names of columns that are made from the fields of records.

    Raises:
        RefusedError: A column cannot be named so.
    """
    for name in names:
        if not name or "\0" in name or not fits(name):
            raise RefusedError(f"a column cannot be named {name[:80]!r}; name another in `columns`")
