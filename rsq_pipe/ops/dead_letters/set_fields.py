"""Setting fields: `--set` changes what a payload has, `--add` puts in what it has not, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rsq_pipe.spec.expressions.field_path import FieldPath, parse_path, spell_path
from rsq_pipe.suggestion import near


def set_fields(record: Mapping[str, Any], fields: Mapping[str, Any], *, add: bool) -> dict[str, Any]:
    r"""
    Set fields of a record; the record itself is left as it is.

    Args:
        record: What is changed.
        fields: Name, or `customer.name`, -> value. A name that the record has as it is written is that field,
            whatever dots are in it.
        add: Whether a field that is not there is put in; otherwise it is most likely misspelt.

    Raises:
        ValueError: There is no such field, or what should hold it is no mapping.
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
        raise ValueError(f"{outer!r} is no mapping, so {spell_path(whole)!r} cannot be set; use --edit")  # noqa: TRY004
    return {**record, name: _put(inner, tuple(rest), whole, value, add=add)}


def _missing(record: Mapping[str, Any], name: str, whole: FieldPath, *, above: FieldPath) -> ValueError:
    match = near(name, [str(key) for key in record])  # a key of msgpack may be anything
    meant = f"did you mean {spell_path((*above, match))!r}? " if match else ""
    return ValueError(f"it has no field {spell_path(whole)!r} to set; {meant}--add puts in what is not there")
