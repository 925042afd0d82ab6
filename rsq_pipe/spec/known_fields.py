"""Known fields: the fields of a stage's records that are known before any record is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.expressions.field_path import FieldPath
from rsq_pipe.spec.graph import Stage
from rsq_pipe.spec.stages.record_check import FieldsCheck, SchemaCheck
from rsq_pipe.sql.layout import AllFields, Item, OneField

NO_TEXT: Mapping[str, str] = MappingProxyType({})
NO_TABLES: Mapping[str, tuple[str, str]] = MappingProxyType({})


class Known(Struct, frozen=True):
    """
    Hold what is known about the top-level fields of some records.

    Args:
        fields: The only fields that a record may have.
        always: The fields that each record has.
        firm: Whether this is true for any files that exist when the pipeline is run.
        origin: The source of this knowledge, for messages.
        text: The fields that hold text -> the type that the text looks like; empty if that is text, or not
            known.
        tables: The fields that come from the file of a lookup -> its path, and the column.
        open: Whether a record may have any other fields, too.
    """

    fields: tuple[str, ...]
    always: frozenset[str] = frozenset()
    firm: bool = True
    origin: str = ""
    text: Mapping[str, str] = NO_TEXT
    tables: Mapping[str, tuple[str, str]] = NO_TABLES
    open: bool = False

    def has(self, name: str) -> bool:
        """Return whether a record may have a field."""
        return self.open or name in self.fields

    def without(self, names: Iterable[str]) -> Known:
        """Remove fields."""
        gone = frozenset(names)
        return replace(
            self,
            fields=tuple(name for name in self.fields if name not in gone),
            always=self.always - gone,
            text={name: like for name, like in self.text.items() if name not in gone},
        )

    def with_(self, names: Iterable[str], *, always: bool = True) -> Known:
        """Add fields of any type, or replace them; `always` if each record then has them."""
        names = frozenset(added := tuple(names))
        fields = tuple(dict.fromkeys([*self.fields, *added]))
        text = {name: like for name, like in self.text.items() if name not in names}
        return replace(self, fields=fields, always=self.always | names if always else self.always, text=text)

    def holding(self, text: Mapping[str, str]) -> Known:
        """Note that fields hold text."""
        return replace(self, text={**self.text, **text})

    def says_text(self, name: str) -> str:
        """Return where it is known from that a field holds text, for messages."""
        table = self.tables.get(name) if self.text.get(name) else None
        return f"the header of {table[0]}" if table else self.origin

    def typing(self, name: str) -> str:
        """Return how to give a field that holds text the type that it looks like."""
        like = self.text[name]
        if name in self.tables:
            path, column = self.tables[name]
            return f"give the lookup `table: {{file: {{path: {path}, types: {{{column}: {like}}}}}}}`"
        return f"give the source `types: {{{name}: {like}}}`"


def together(inputs: Sequence[Known | None]) -> Known | None:
    """Return what is known about records from several places; None if nothing is."""
    known = [one for one in inputs if one is not None]
    if len(known) < len(inputs) or not known:
        return None
    fields = tuple(dict.fromkeys(name for one in known for name in one.fields))
    always = known[0].always.intersection(*(one.always for one in known))
    origin = " and ".join(dict.fromkeys(one.origin for one in known))
    text = {name: like for name, like in known[0].text.items() if all(name in one.text for one in known)}
    tables = known[0].tables if all(one.tables == known[0].tables for one in known) else NO_TABLES
    is_open = any(one.open for one in known)
    return Known(fields, always, all(one.firm for one in known), origin, text, tables, is_open)


def sent_on(stage: Stage, known: Known | None) -> Known | None:
    """Return what is known about the records that a stage emits; None if nothing is."""
    change = _CHANGES.get(stage.verb)
    return None if change is None else change(stage, known)


def _same(_stage: Stage, known: Known | None) -> Known | None:
    return known


def _adding(stage: Stage, known: Known | None) -> Known:
    """Return what is known before a stage adds fields; if nothing is, records may have any fields."""
    origin = f"stage {stage.name!r}"
    if known is None:
        return Known((), origin=origin, open=True)
    return replace(known, origin=f"{known.origin} and {origin}") if known.open else known


def _mapped(stage: Stage, known: Known | None) -> Known | None:
    fields: Mapping[str, Expression | None] = stage.options
    removed = [name for name, value in fields.items() if value is None]
    added = [name for name, value in fields.items() if value is not None]
    known = _adding(stage, known) if added else known
    return known and known.without(removed).with_(added)


def _selected(stage: Stage, known: Known | None) -> Known | None:
    of = stage.options
    if of.keep is not None:
        base = Known((), firm=True, origin=f"stage {stage.name!r}")
        kept = base.with_(_tops(target for _, target in of.keep), always=not of.ignore)
        return kept.holding(_moved_text(of.keep, known))
    known = _adding(stage, known) if of.rename else known
    if known is None:
        return None
    gone = [path[0] for path in (*of.drop, *(source for source, _ in of.rename)) if len(path) == 1]
    left = known.without(gone).with_(_tops(target for _, target in of.rename), always=not of.ignore)
    return left.holding(_moved_text(of.rename, known))


def _moved_text(moves: Iterable[tuple[FieldPath, FieldPath]], known: Known | None) -> Mapping[str, str]:
    """Tell which fields hold text under the name that they go on by."""
    text = known.text if known else NO_TEXT
    return {to[0]: text[of[0]] for of, to in moves if len(of) == len(to) == 1 and of[0] in text}


def _exploded(stage: Stage, known: Known | None) -> Known | None:
    of = stage.options
    new = tuple(filter(None, (of.name, of.index)))
    if of.keep is not None:
        return Known((), origin=f"stage {stage.name!r}").with_((*_tops(of.keep), *new))
    return _adding(stage, known).without(of.field if len(of.field) == 1 else ()).with_(new)


def _checked(stage: Stage, known: Known | None) -> Known | None:
    check = stage.options
    if isinstance(check, FieldsCheck):
        sure = [name for name, rule in check.rules.items() if not rule.optional]
        text = {name: "" for name, rule in check.rules.items() if rule.kind.name in _KEPT_AS_TEXT}
        if check.extra == "keep":
            known = _adding(stage, known) if sure else known
            if known is None:
                return None
            there = [name for name in check.rules if known.has(name)]
            known = known.with_(there, always=False).with_(name for name in sure if name in there)
            return known.holding({name: "" for name in text if name in there})
        always = (known.always & check.rules.keys()) if known else frozenset()
        checked = Known(tuple(check.rules), always | set(sure), origin=f"stage {stage.name!r}")
        return checked.holding(text)
    if isinstance(check, SchemaCheck):
        if check.extra == "keep":
            return known
        if check.schema is None:  # its file is gone, and the pipeline is only operated
            return None
        return Known(tuple(check.schema["properties"]), origin=f"stage {stage.name!r}")
    return None


_KEPT_AS_TEXT = ("str", "date", "datetime", "decimal")
"""Types of `validate` whose values are text in a record."""


def _looked_up(stage: Stage, known: Known | None) -> Known | None:
    return _adding(stage, known).with_(stage.options.targets)


def _aggregated(stage: Stage, _known: Known | None) -> Known | None:
    fields = stage.options.fields
    return Known(fields, frozenset(fields), origin=f"stage {stage.name!r}")


def queried(layout: Iterable[Item], stage: Stage, known: Known | None) -> Known | None:
    """Say what is known about the records that a query makes; None if nothing is."""
    made: dict[str, bool] = {}  # name -> whether each record has it
    text: dict[str, str] = {}
    made_by = Known((), origin=f"stage {stage.name!r}")
    for item in layout:
        if not isinstance(item, AllFields):
            made[item.name] = True
            if known and isinstance(item, OneField) and len(item.path) == 1 and item.path[0] in known.text:
                text[item.name] = known.text[item.path[0]]
            continue
        if known is None or known.open:
            made_by = replace(_adding(stage, known), fields=(), always=frozenset(), text=NO_TEXT)
        own = [name for name in known.fields if name not in item.without] if known else []
        new = {name: item.renamed.get(name, name) for name in own}
        made |= {new[name]: known is not None and name in known.always for name in own}
        made |= dict.fromkeys(item.replaced, True)
        of_sql = {*item.replaced, *item.cast}
        text |= {
            new[name]: known.text[name] for name in own if known and name in known.text and name not in of_sql
        }
    if made_by.open and not made:
        return None
    always = [name for name, sure in made.items() if sure]
    return made_by.with_(made, always=False).with_(always).holding(text)


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
