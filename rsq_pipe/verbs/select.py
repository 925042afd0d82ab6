"""select: some of a record's fields, or all but some, under their own names or new ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rsq_pipe.errors import MissingFieldError
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import Failure, Outcomes, Reject, Retry
from rsq_pipe.model.row_records import made as made_of_rows
from rsq_pipe.spec.expressions.field_path import FieldPath
from rsq_pipe.spec.stages.select import Selection
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.passing import made, remade
from rsq_pipe.verbs.picking import (
    Record,
    holder,
    missing,
    pick,
    picker_of_all,
    put,
    taken,
    there_already,
)
from rsq_pipe.verbs.verb import PlainVerb


class Select(PlainVerb):
    """
    Pass on records with a selection of their fields.

    Most batches go through a function that handles all their records at once; if it raises, records are
    handled one by one, and those that fail get their error.

    Args:
        stage: For messages.
        selection: What happens to the fields.
    """

    pure: ClassVar[bool] = True
    # Values are moved; no value is computed.
    changed: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, stage: str, selection: Selection) -> None:
        self._stage = stage
        self._keep = selection.keep
        self._shape = _Shape(selection)
        self._ignore = selection.ignore
        self._all = _for_all(selection, self._one)

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        if not len(batch):
            return Outcomes()
        try:
            return Outcomes({"": made(batch, self._all(batch.records))})
        except Exception:  # noqa: BLE001 - whatever Python raises for an unusual record
            return self._one_by_one(batch)

    def _one_by_one(self, batch: Batch) -> Outcomes:
        records: list[Any] = []
        failed: dict[int, Failure | Retry | Reject] = {}
        for place, record in enumerate(batch.records):
            try:
                records.append(self._one(record))
            except Exception as exc:  # noqa: BLE001 - a record may not be a dict
                failed[place] = expression_failure(exc, self._stage, "select")
        return remade(batch, records, failed)

    def _one(self, record: Record) -> Record:
        if self._keep is not None:
            return pick(record, self._keep, ignore=self._ignore)
        return self._shape.of(record)


class _Shape:
    """
    Drop and rename fields of one record at a time, at any depth.

    A field renamed within its mapping keeps its position; one that moves goes to the end.
    """

    def __init__(self, selection: Selection) -> None:
        self._drop = selection.drop
        self._ignore = selection.ignore
        self._renamed: dict[FieldPath, dict[str, str]] = defaultdict(dict)
        self._moved: list[tuple[FieldPath, FieldPath]] = []
        for source, target in selection.rename:
            if source[:-1] == target[:-1]:
                self._renamed[source[:-1]][source[-1]] = target[-1]
            else:
                self._moved.append((source, target))

    def of(self, record: Record) -> Record:
        """Return the record to pass on."""
        made = record.copy()
        # First: a field may move out of a mapping that is dropped.
        moved = [(target, self._take(made, source)) for source, target in self._moved]
        for path in self._drop:
            self._take(made, path)
        for parent, names in self._renamed.items():
            made = self._rename(made, parent, names)
        for target, values in moved:
            for value in values:
                put(made, target, value)
        return made

    def _take(self, record: Record, path: FieldPath) -> list[Any]:
        try:
            return [taken(record, path, hint=not self._ignore)]
        except MissingFieldError:
            if not self._ignore:
                raise
            return []

    def _rename(self, record: Record, parent: FieldPath, names: Mapping[str, str]) -> Record:
        # Any of the names can be the last part of the path.
        first = next(iter(names))
        try:
            at = holder(record, (*parent, first))
        except MissingFieldError:
            if not self._ignore:
                raise
            return record
        if at is None:
            return record
        if not self._ignore and (gone := next((name for name in names if name not in at), None)) is not None:
            raise missing((*parent, gone), record)
        renamed = _relabelled(at, parent, names)
        if not parent:
            return renamed
        at.clear()
        at.update(renamed)
        return record


def _relabelled(at: Record, parent: FieldPath, names: Mapping[str, str]) -> Record:
    """Rename fields of a mapping, all at once, so that two can be swapped."""
    renamed = {names.get(name, name): value for name, value in at.items()}
    if len(renamed) < len(at):
        taken_by_others = {name for name in at if name not in names}
        twice = next(new for old, new in names.items() if old in at and new in taken_by_others)
        raise there_already((*parent, twice))
    return renamed


def _for_all(
    selection: Selection, one: Callable[[Record], Record]
) -> Callable[[Sequence[Record]], list[Record]]:
    """Make the function for all records of a batch; unless it raises, it gives the same result as `one`."""
    keep, ignore = selection.keep, selection.ignore
    if keep is not None and not ignore:
        return picker_of_all(keep)
    pairs = (*selection.rename, *(keep or ()), *((path, path) for path in selection.drop))
    if any(len(path) > 1 for pair in pairs for path in pair):
        return lambda records: [one(record) for record in records]
    if keep is not None:
        names = [(old, new) for (old,), (new,) in keep]
        return lambda records: [{new: one[old] for old, new in names if old in one} for one in records]
    dropped = [name for (name,) in selection.drop]
    renamed = {old: new for (old,), (new,) in selection.rename}
    if not renamed:
        return lambda records: _without(records, dropped, ignore=ignore)
    if not dropped:
        return lambda records: _renamed(records, renamed, ignore=ignore)
    return lambda records: _renamed(_without(records, dropped, ignore=ignore), renamed, ignore=ignore)


def _without(records: Sequence[Record], names: Sequence[str], *, ignore: bool) -> list[Record]:
    left: list[Record] = []
    for record in records:
        copy = record.copy()
        for name in names:
            if ignore:
                copy.pop(name, None)
            else:
                del copy[name]
        left.append(copy)
    return left


def _renamed(records: Sequence[Record], names: Mapping[str, str], *, ignore: bool) -> list[Record]:
    """Rename fields; raise KeyError if one is missing, or its new name is taken."""
    fields = list(records[0])
    new = [names.get(name, name) for name in fields]
    whole = len(set(new)) == len(new) and names.keys() <= set(fields)
    # Nearly always all have the same fields, in the same order.
    if whole and all(list(record) == fields for record in records):
        return made_of_rows(new, [tuple(record.values()) for record in records])
    renamed = [{names.get(name, name): value for name, value in record.items()} for record in records]
    for before, after in zip(records, renamed, strict=True):
        if len(after) < len(before) or not (ignore or names.keys() <= before.keys()):
            raise KeyError(names)
    return renamed
