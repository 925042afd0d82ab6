"""Edits: changes to a dead letter's payload before it is replayed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from rsq_pipe.errors import EncodeError, MissingFieldError, ReplayError
from rsq_pipe.ops.dead_letters.dead_letter import DeadLetter
from rsq_pipe.ops.dead_letters.dead_letter_json import Edit
from rsq_pipe.ops.dead_letters.payload import Payloads
from rsq_pipe.ops.dead_letters.selection import DeadLetterName
from rsq_pipe.spec.expressions.explanation import explained
from rsq_pipe.spec.expressions.expression import Expression
from rsq_pipe.spec.expressions.field_path import FieldPath, parse_path, spell_path
from rsq_pipe.suggestion import near


class Edits(Struct, frozen=True):
    """
    Hold the changes of one replay; nothing by default.

    Args:
        by_letter: New payloads, by stage and id.
        fields: Fields to set in every payload, after that; each must exist.
        added: Fields to set whether they exist or not.
        computed: The same, set to an expression's value for the record, after everything else.
    """

    by_letter: Mapping[tuple[str, str], Edit] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    added: Mapping[str, Any] = field(default_factory=dict)
    computed: Mapping[str, Expression] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        edits: Sequence[Edit],
        fields: Mapping[str, Any],
        added: Mapping[str, Any] | None = None,
        computed: Mapping[str, Expression] | None = None,
    ) -> Edits:
        """
        Collect edits and fields into one.

        Raises:
            ValueError: Two lines edit the same dead letter.
        """
        found: dict[tuple[str, str], Edit] = {}
        for edit in edits:
            key = (edit.name.stage, edit.name.id)
            if key in found:
                raise ValueError(
                    f"{edit.place}: the same dead letter as in {found[key].place}; keep one line"
                )
            found[key] = edit
        return cls(found, fields, added or {}, computed or {})

    @property
    def names(self) -> tuple[DeadLetterName, ...]:
        """The dead letters that have new payloads."""
        return tuple(edit.name for edit in self.by_letter.values())

    def applied(self, letter: DeadLetter, payloads: Payloads, *, must_be_record: bool) -> bytes | None:
        """
        Return a dead letter's new bytes.

        Args:
            letter: The dead letter.
            payloads: Decodes and encodes payloads.
            must_be_record: Whether the result has to be a record, as when it skips a source.

        Returns:
            None if nothing is changed.

        Raises:
            ReplayError: It cannot be changed like this, or the result must be a record and is not.
        """
        edit = self.by_letter.get((letter.stage, letter.id)) or self.by_letter.get(("", letter.id))
        try:
            data = self._changed(letter, edit, payloads)
        except (EncodeError, ValueError) as exc:
            raise ReplayError(f"{letter.name}: {exc}", dead_letter=letter.name) from exc
        if must_be_record and payloads.decode(letter.raw if data is None else data) is None:
            raise ReplayError(
                f"{letter.name}: nothing enters a source again; to go past it this must be a record: "
                "export it, put a `payload` into its line, and replay with --edit",
                dead_letter=letter.name,
            )
        return data

    def _changed(self, letter: DeadLetter, edit: Edit | None, payloads: Payloads) -> bytes | None:
        if not (self.fields or self.added or self.computed):
            if edit is None or edit.payload is None:
                return edit.raw if edit else None
            # Parts that the file leaves unchanged are replayed byte for byte.
            data, old = payloads.encode(edit.payload, letter.raw), payloads.decode(letter.raw)
            return None if old is not None and data == payloads.encode(old, letter.raw) else data
        record = edit.payload if edit else None
        if record is None:
            record = payloads.decode(edit.raw if edit and edit.raw is not None else letter.raw)
        if record is None:
            raise ValueError("its bytes are not a record, so --set has nothing to set a field in; use --edit")
        record = set_fields(set_fields(record, self.fields, add=False), self.added, add=True)
        values = {name: _value(name, expression, record) for name, expression in self.computed.items()}
        return payloads.encode(set_fields(record, values, add=True), letter.raw)


def _value(name: str, expression: Expression, record: Mapping[str, Any]) -> Any:
    try:
        return expression.evaluate(record)
    except MissingFieldError as exc:
        raise ValueError(f"{name}: {exc}") from exc
    except Exception as exc:  # an expression over any data may raise anything
        raise ValueError(f"{name}: {explained(exc)}") from exc


def read_value(text: str) -> Any:
    """Read the value to set a field to: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def set_fields(record: Mapping[str, Any], fields: Mapping[str, Any], *, add: bool) -> dict[str, Any]:
    r"""
    Return a copy of a record with fields set.

    Args:
        record: The record.
        fields: Name, or `customer.name`, -> value. If the record has a field of exactly this name, including
            dots, that field is meant.
        add: Whether to add missing fields; otherwise a missing field is taken for a misspelling.

    Raises:
        ValueError: There is no such field, or its parent is not a mapping.
    """
    found = dict(record)
    for name, value in fields.items():
        path = (name,) if name in found else parse_path(name)
        found = _put(found, path, path, value, add=add)
    return found


def _put(
    record: Mapping[str, Any], path: FieldPath, whole: FieldPath, value: Any, *, add: bool
) -> dict[str, Any]:
    name, *rest = path
    if name not in record and not add:
        raise _missing(record, name, whole, above=whole[: -len(path)])
    if not rest:
        return {**record, name: value}
    inner = record.get(name, {})
    if not isinstance(inner, dict):
        outer = spell_path(whole[: len(whole) - len(rest)])
        raise ValueError(f"{outer!r} is not a mapping, so {spell_path(whole)!r} cannot be set; use --edit")  # noqa: TRY004
    return {**record, name: _put(inner, tuple(rest), whole, value, add=add)}


def _missing(record: Mapping[str, Any], name: str, whole: FieldPath, *, above: FieldPath) -> ValueError:
    match = near(name, [str(key) for key in record])  # a msgpack key may be anything
    meant = f"did you mean {spell_path((*above, match))!r}? " if match else ""
    return ValueError(f"it has no field {spell_path(whole)!r} to set; {meant}--add puts in what is not there")
