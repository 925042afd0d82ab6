"""Known fields: the fields of a stage's records, as far as known before any record is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.expressions.field_path import FieldPath
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.record_check import FieldsCheck, SchemaCheck


class Known(Struct, frozen=True):
    """
    Hold what is known about the top-level fields of some records.

    Args:
        fields: The only fields that a record may have.
        always: The fields that each record has.
        firm: Whether this is true for any files that exist when the pipeline is run.
        origin: The source of this knowledge, for messages.
    """

    fields: tuple[str, ...]
    always: frozenset[str] = frozenset()
    firm: bool = True
    origin: str = ""

    def has(self, name: str) -> bool:
        """Return whether a record may have a field."""
        return name in self.fields

    def without(self, names: Iterable[str]) -> Known:
        """Remove fields."""
        gone = frozenset(names)
        return replace(
            self,
            fields=tuple(name for name in self.fields if name not in gone),
            always=self.always - gone,
        )

    def with_(self, names: Iterable[str], *, always: bool = True) -> Known:
        """Add fields; `always` if each record then has them."""
        names = tuple(names)
        fields = tuple(dict.fromkeys([*self.fields, *names]))
        return replace(self, fields=fields, always=self.always | set(names) if always else self.always)


def together(inputs: Sequence[Known | None]) -> Known | None:
    """Return what is known about records from several places; None if nothing is."""
    known = [one for one in inputs if one is not None]
    if len(known) < len(inputs) or not known:
        return None
    fields = tuple(dict.fromkeys(name for one in known for name in one.fields))
    always = known[0].always.intersection(*(one.always for one in known))
    origin = " and ".join(dict.fromkeys(one.origin for one in known))
    return Known(fields, always, all(one.firm for one in known), origin)


def sent_on(stage: Stage, known: Known | None) -> Known | None:
    """Return what is known about the records that a stage emits; None if nothing is."""
    change = _CHANGES.get(stage.verb)
    return None if change is None else change(stage, known)


def _same(_stage: Stage, known: Known | None) -> Known | None:
    return known


def _mapped(stage: Stage, known: Known | None) -> Known | None:
    fields: Mapping[str, Expression | None] = stage.options
    removed = [name for name, value in fields.items() if value is None]
    added = [name for name, value in fields.items() if value is not None]
    return known and known.without(removed).with_(added)


def _selected(stage: Stage, known: Known | None) -> Known | None:
    of = stage.options
    if of.keep is not None:
        base = Known((), firm=True, origin=f"stage {stage.name!r}")
        return base.with_(_tops(target for _, target in of.keep), always=not of.ignore)
    if known is None:
        return None
    gone = [path[0] for path in (*of.drop, *(source for source, _ in of.rename)) if len(path) == 1]
    return known.without(gone).with_(_tops(target for _, target in of.rename), always=not of.ignore)


def _exploded(stage: Stage, known: Known | None) -> Known | None:
    of = stage.options
    new = tuple(filter(None, (of.name, of.index)))
    if of.keep is not None:
        return Known((), origin=f"stage {stage.name!r}").with_((*_tops(of.keep), *new))
    return known and known.without(of.field if len(of.field) == 1 else ()).with_(new)


def _checked(stage: Stage, known: Known | None) -> Known | None:
    check = stage.options
    if isinstance(check, FieldsCheck):
        sure = [name for name, rule in check.rules.items() if not rule.optional]
        if check.extra == "keep":
            return known and known.with_(name for name in sure if known.has(name))
        always = (known.always & check.rules.keys()) if known else frozenset()
        return Known(tuple(check.rules), always | set(sure), origin=f"stage {stage.name!r}")
    if isinstance(check, SchemaCheck):
        if check.extra == "keep":
            return known
        if check.schema is None:  # its file is gone, and the pipeline is only operated
            return None
        return Known(tuple(check.schema["properties"]), origin=f"stage {stage.name!r}")
    return None


def _looked_up(stage: Stage, known: Known | None) -> Known | None:
    return known and known.with_(stage.options.targets)


def _aggregated(stage: Stage, _known: Known | None) -> Known | None:
    fields = stage.options.fields
    return Known(fields, frozenset(fields), origin=f"stage {stage.name!r}")


def _tops(paths: Iterable[FieldPath]) -> list[str]:
    return [path[0] for path in paths]


_CHANGES: Mapping[str, Callable[[Any, Known | None], Known | None]] = {
    "filter": _same,
    "route": _same,
    "sample": _same,
    "dedupe": _same,
    "map": _mapped,
    "select": _selected,
    "explode": _exploded,
    "validate": _checked,
    "lookup": _looked_up,
    "aggregate": _aggregated,
}
"""Verb -> how to derive the fields of its output; for other verbs they are unknown."""
