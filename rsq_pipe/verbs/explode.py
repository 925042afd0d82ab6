"""explode: one record for each item of a list."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rsq_pipe.ids import children
from rsq_pipe.model.batch import Batch
from rsq_pipe.model.outcome import MAX_CHILDREN, Emitted, Failure, Outcomes, Reject, Retry
from rsq_pipe.spec.expressions.field_path import FieldPath, spell_path
from rsq_pipe.spec.stages.explode import Explosion
from rsq_pipe.verbs.failed import expression_failure
from rsq_pipe.verbs.picking import Record, found, pick, picker, taken, there_already
from rsq_pipe.verbs.record_headers import onward
from rsq_pipe.verbs.verb import PlainVerb

_REASON = "no items"
_NESTED = frozenset((dict, list))


class Explode(PlainVerb):
    """
    Split each record into one for each item of a list; they are its children.

    Args:
        stage: For messages.
        explosion: The list, and the fields that each item's record gets.
    """

    pure: ClassVar[bool] = True

    def __init__(self, stage: str, explosion: Explosion) -> None:
        self._stage = stage
        self._of = explosion
        self._beside = _beside(explosion)
        # All other values came with the record.
        self.changed = frozenset(filter(None, (explosion.index,)))

    async def process(self, batch: Batch) -> Outcomes:
        """Handle one batch on the event loop."""
        out = Emitted(rids=(rids := []), sources=(sources := []))
        dropped: list[int] = []
        failed: dict[int, Failure | Retry | Reject] = {}
        for place, record in enumerate(batch.records):
            try:
                made = self._split(record)
            except Exception as exc:  # noqa: BLE001 - a record may be anything
                failed[place] = expression_failure(exc, self._stage, "explode")
                continue
            if not made:
                dropped.append(place)
                continue
            out.records += made
            rids += children(batch.rids[place], len(made))
            sources += [place] * len(made)
        if batch.headers:
            going = onward(batch.headers)
            out.headers = {new: going[source] for new, source in enumerate(sources) if source in going}
        return Outcomes({"": out} if sources else {}, {_REASON: dropped} if dropped else {}, failed)

    def _split(self, record: Record) -> list[Record]:
        """Make a record's children; none if its list is empty and that yields no record."""
        of = self._of
        items = found(record, of.field)
        if items is not None and type(items) is not list:
            raise ValueError(f"field {spell_path(of.field)!r} is not a list")
        if not items:
            if not of.keeps_empty:
                return []
            numbers = {of.index: None} if of.index else {}
            return [{**self._beside(record), of.name: None, **numbers}]
        if len(items) > MAX_CHILDREN:
            raise ValueError(
                f"field {spell_path(of.field)!r} has {len(items):,} items; "
                f"the bound is {MAX_CHILDREN:,}, since their records are written at once"
            )
        beside = self._beside(record)
        made = _numbered(beside, of.name, of.index, items) if of.index else _joined(beside, of.name, items)
        _set_apart(made, beside, of.name)
        return made


def _joined(beside: Record, name: str, items: list[Any]) -> list[Record]:
    return [{**beside, name: item} for item in items]


def _numbered(beside: Record, name: str, index: str, items: list[Any]) -> list[Record]:
    return [{**beside, name: item, index: n} for n, item in enumerate(items)]


def _set_apart(made: list[Record], beside: Record, name: str) -> None:
    """
    Give each record its own lists and mappings, except for its item, which no other record has.

    A handler below, fused with this stage, may modify its record; that must not change the others.
    """
    for field, value in beside.items():
        if type(value) in _NESTED and field != name:
            for record in made:
                record[field] = _copied(value)


def _copied(value: Any) -> Any:
    copy = value.copy()
    inside = value.items() if type(value) is dict else enumerate(value)
    for at, inner in inside:
        if type(inner) in _NESTED:
            copy[at] = _copied(inner)
    return copy


def _beside(of: Explosion) -> Callable[[Record], Record]:
    """
    Make the function that picks the fields that each item of a record gets.

    If the item takes the place of a field, that field is included, so that the order stays.
    """
    if of.keep is not None:
        return _picked(of.keep)
    new = frozenset(filter(None, (of.name, of.index)))
    if len(of.field) > 1:
        return lambda record: _without(record, of.field, new)
    field, name, added = of.field[0], of.name, new - set(of.field)
    if field == name:
        return lambda record: _free(record, added)
    return lambda record: {
        name if one == field else one: value for one, value in _free(record, added).items()
    }


def _picked(fields: tuple[FieldPath, ...]) -> Callable[[Record], Record]:
    pairs = [(field, field) for field in fields]
    quick = picker(pairs)

    def picked(record: Record) -> Record:
        try:
            return quick(record)
        except Exception:  # noqa: BLE001 - the other way says what is missing
            return pick(record, pairs)

    return picked


def _without(record: Record, field: FieldPath, names: frozenset[str]) -> Record:
    left = record.copy()
    taken(left, field)
    return _free(left, names)


def _free(record: Record, names: frozenset[str]) -> Record:
    """Return the record; ValueError if it already has one of the new names."""
    for name in names:
        if name in record:
            raise there_already((name,))
    return record
