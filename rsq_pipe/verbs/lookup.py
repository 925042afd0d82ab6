"""lookup: adds the row of a table to each record, found by a key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import TableError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.stages.lookup import FileRef, Lookup
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.passing import made
from rsq_pipe.verbs.picking import Record, there_already
from rsq_pipe.verbs.tables.held_table import HeldTable
from rsq_pipe.verbs.tables.keys import key_maker
from rsq_pipe.verbs.tables.table import BrokenTableError, Row, Table, Wanted

UNKNOWN = "unknown key"
"""The drop reason."""

_TEXTS = {str}
_NESTED = frozenset((dict, list))


class FileLookup:
    """
    Look records up in a file that is held in memory.

    Args:
        stage: The stage's name, for messages.
        lookup: The lookup's options, with a file.
        root: The project root.
    """

    pure: ClassVar[bool] = True

    def __init__(self, stage: str, lookup: Lookup, root: Path) -> None:
        file = lookup.table
        assert isinstance(file, FileRef)
        self._stage = stage
        self._join = RowJoin(stage, lookup)
        self._held = HeldTable.of(
            Wanted(root / file.path, file, lookup.by, {} if lookup.name else lookup.fields)
        )
        self._quick = _quick(lookup)
        self._targets = lookup.targets

    @property
    def changed(self) -> frozenset[str]:
        """No field if all values in the file are plain: they came the same way as records' own values."""
        return frozenset() if self._held.table.plain else self._targets

    @property
    def held(self) -> HeldTable:
        """The file."""
        return self._held

    async def open(self) -> None:
        """Read the file, in a thread; TableError if it is not a table."""
        try:
            await asyncio.to_thread(self._held.open)
        except (BrokenTableError, OSError) as exc:
            why = wording(exc) if isinstance(exc, OSError) else exc
            raise TableError(f"stage {self._stage!r} cannot use its table: {why}", stage=self._stage) from exc

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        self._held.reload_if_changed()
        table = self._held.table
        if table.flat and self._quick is not None:
            records = self._quick(batch.records, table)
            if records is not None:
                return Outcomes({"": made(batch, records)} if records else {})
        rows = table.rows
        keys = self._join.keys(batch)
        return self._join.outcomes(
            batch, keys, [rows.get(key) if key is not None else None for key, _ in keys]
        )

    async def close(self) -> None:
        """Do nothing: other stages may use the same file."""


class RowJoin:
    """
    Put rows into records.

    Args:
        stage: For messages.
        lookup: The lookup's options.
    """

    def __init__(self, stage: str, lookup: Lookup) -> None:
        self._stage = stage
        self._of = lookup
        self._key = key_maker(lookup.key)
        self._replaced = replaced(lookup)
        self._nulls = dict.fromkeys((lookup.name,) if lookup.name else lookup.fields.values())

    def keys(self, batch: Batch) -> list[tuple[Any, Any]]:
        """Return each record's key and its listed form; for a record without a key: None, and its failure."""
        found: list[tuple[Any, Any]] = []
        for record in batch.records:
            try:
                found.append(self._key(record))
            except Exception as exc:  # noqa: BLE001 - a record may be anything
                found.append((None, expression_failure(exc, self._stage, "lookup.key")))
        return found

    def outcomes(
        self, batch: Batch, keys: Sequence[tuple[Any, Any]], rows: Sequence[Row | Failure | None]
    ) -> Outcomes:
        """
        Return the outcome of each record.

        Args:
            batch: The records.
            keys: The result of `keys`.
            rows: For each record its row, under the new names; None if there is none; or why it failed.
        """
        records: list[Any] = []
        places: list[int] = []
        dropped: list[int] = []
        failed: dict[int, Failure | Retry | Reject] = {}
        unknown: dict[str, list[int]] = {}
        for place, record in enumerate(batch.records):
            listed, row = keys[place][1], rows[place]
            fault = listed if isinstance(listed, Failure) else row
            if isinstance(fault, Failure):
                failed[place] = fault
                continue
            assert not isinstance(row, Failure)
            try:
                joined = self._joined(record, row)
            except ValueError as exc:
                failed[place] = expression_failure(exc, self._stage, "lookup")
                continue
            if row is None:
                unknown.setdefault(listed, []).append(place)
            if row is not None or self._of.missing == "null":
                records.append(joined)
                places.append(place)
            elif self._of.missing == "drop":
                dropped.append(place)
            else:
                failed[place] = Reject(self._no_row(listed))
        return Outcomes(
            {"": made(batch, records, places)} if records else {},
            {UNKNOWN: dropped} if dropped else {},
            failed,
            unknown=unknown,
        )

    def _no_row(self, listed: str) -> str:
        return f"stage {self._stage!r}: {self._of.table.text} has no row for {self._of.key.text} {listed!r}"

    def _joined(self, record: Record, row: Row | None) -> Record:
        """Put a row into a record; ValueError if one of its names is taken."""
        if row is None:
            new = self._nulls
        elif self._of.name:
            new = {self._of.name: copied(row)}
        else:
            new = {name: copied(value) if type(value) in _NESTED else value for name, value in row.items()}
        whole = {**record, **new}
        if len(whole) != len(record) + len(new) - self._replaced:
            own = _own(self._of)
            raise there_already((next(name for name in new if name in record and name != own),))
        return whole


def replaced(lookup: Lookup) -> int:
    """Count the fields of a record that are replaced: the key, if a new field has its name."""
    return int(_own(lookup) in lookup.targets)


def _own(lookup: Lookup) -> str:
    """Name the field that is the key, if it is at the top level of a record."""
    fields = lookup.key.fields
    return fields[0][0] if len(fields) == 1 and len(fields[0]) == 1 else ""


def _quick(lookup: Lookup) -> Callable[[Sequence[Record], Table], list[Record] | None] | None:
    """
    Make the function that joins a whole batch if every record has a text key and a row.

    It returns None for any other batch, which takes the slow path. None if the key is more than a field.
    """
    own = _own(lookup)
    if not own:
        return None
    name = lookup.name
    growth = len(lookup.targets) - replaced(lookup)

    def quick(records: Sequence[Record], table: Table) -> list[Record] | None:
        try:
            keys = [record[own] for record in records]
            if {*map(type, keys)} != _TEXTS:
                return None
            found = table.rows
            rows = [found[key] for key in keys]
            joined = (
                [{**record, name: {**row}} for record, row in zip(records, rows, strict=True)]
                if name
                else [{**record, **row} for record, row in zip(records, rows, strict=True)]
            )
        except Exception:  # noqa: BLE001 - the careful way says what is wrong, and with which record
            return None
        # If a name was taken, its record has grown by fewer fields.
        if sum(map(len, joined)) != sum(map(len, records)) + growth * len(records):
            return None
        return joined

    return quick


def copied(value: Any) -> Any:
    """Copy lists and mappings for a record: a handler below may modify it."""
    if type(value) not in _NESTED:
        return value
    if type(value) is dict:
        return {name: copied(inner) for name, inner in value.items()}
    return [copied(inner) for inner in value]
