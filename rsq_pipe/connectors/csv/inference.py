"""Inference: guesses the types of a CSV file's columns from its first rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeAlias, cast

from rsq_pipe.connectors.csv.field_types import FieldType, parser
from rsq_pipe.suggestion import first_of, one_of

INFER = "infer"
EVERY = "*"
GivenType: TypeAlias = Literal[FieldType, "infer"]
Given: TypeAlias = Mapping[str, GivenType]
Types: TypeAlias = dict[str, FieldType]

# In this order: a column of 1 and 0 holds numbers. Never decimal: whatever looks like one is a float.
_TRIED: tuple[FieldType, ...] = ("int", "float", "bool", "date", "datetime")
_NUMBERS = ("int", "float")
_LEADING_ZERO = re.compile(r"\s*[-+]?0[0-9]")
_LONGEST_INT = 18  # digits: longer ones are identifiers, and more than most systems hold in a number


NO_VALUES = frozenset(("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "."))
"""What programs write for no value, in small letters."""


def asked(given: Given, header: Sequence[str], formats: Collection[str] = ()) -> list[str]:
    """List the columns whose type is to be inferred."""
    return [
        name for name in header if name not in formats and given.get(name, given.get(EVERY, "str")) == INFER
    ]


def resolved(given: Given, header: Sequence[str], inferred: Mapping[str, FieldType]) -> Types:
    """Give each column the type stated for it, or for all other columns, or inferred, in this order."""
    types = {name: type_ for name, type_ in given.items() if name != EVERY}
    if EVERY in given:
        types |= {name: given[EVERY] for name in header if name not in given}
    return {
        name: inferred.get(name, "str") if type_ == INFER else cast(FieldType, type_)
        for name, type_ in types.items()
    }


def infer(
    header: Sequence[str], rows: Sequence[Sequence[str]], null: Collection[str], decimal: str = "."
) -> Types:
    """
    Infer the types of columns from rows; rows that do not match the header are ignored.

    A column is text unless every field that is not null can be nothing else: digits after a leading zero
    (`007`) and numbers of more than 18 digits are identifiers.
    """
    whole = [row for row in rows if len(row) == len(header)]
    return {
        name: _type([text for text in fields if text and text not in null], decimal)
        for name, fields in zip(
            header, zip(*whole, strict=True) if whole else [[]] * len(header), strict=True
        )
    }


def hidden(
    header: Sequence[str], rows: Sequence[Sequence[str]], null: Collection[str], decimal: str = "."
) -> dict[str, tuple[FieldType, str]]:
    """
    Find columns that would not be text without a value such as `NA`, which is not declared to mean null.

    Returns:
        Column -> its type without such values, and one of these.
    """
    found: dict[str, tuple[FieldType, str]] = {}
    types = infer(header, rows, null, decimal)
    whole = [row for row in rows if len(row) == len(header)]
    for name, fields in zip(header, zip(*whole, strict=True), strict=False):
        texts = {text for text in fields if text.lower() in NO_VALUES and text not in null}
        if types[name] == "str" and texts:
            type_ = _type([text for text in fields if text and text not in texts | {*null}], decimal)
            if type_ != "str":
                found[name] = (type_, min(texts))
    return found


def hidden_text(found: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Describe all columns that `hidden` has found in one sentence, and what to do about them."""
    names = one_of((repr(name) for name in first_of(list(found))), "and")
    values = dict.fromkeys(text for _, text in found.values())
    types = one_of(dict.fromkeys(type_ for type_, _ in found.values()))
    one = len(found) == 1
    what = f"column {names} is text, since it holds" if one else f"columns {names} are text, since they hold"
    null = ", ".join(f'"{text}"' for text in values)
    fix = f"if that stands for no value, set `na: [{null}]`, and {'it is' if one else 'they are'} {types}"
    return f"{what} {one_of(map(repr, values), 'and')}", fix


def _type(fields: Sequence[str], decimal: str) -> FieldType:
    if not fields:
        return "str"
    for type_ in _TRIED:
        parse = parser(type_, decimal=decimal)
        assert parse is not None
        if all(_fits(text, type_, parse) for text in fields):
            return type_
    return "str"


def _fits(text: str, type_: FieldType, parse: Callable[[str], object]) -> bool:
    if type_ in _NUMBERS and (_LEADING_ZERO.match(text) or not text.isascii()):
        return False
    if type_ == "int" and len(text) > _LONGEST_INT:
        return False
    if type_ == "float" and text.lstrip("+-").isdigit():
        return len(text) <= _LONGEST_INT
    # ISO 8601 also takes a week (2026-W07) or a row of digits (20260301) for a date; mostly they are not
    # meant as one.
    if type_ in ("date", "datetime") and text[4:5] + text[7:8] != "--":
        return False
    try:
        parse(text)
    except ValueError:
        return False
    return True
