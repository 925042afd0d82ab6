"""Field types: what the text of a csv field can be read as."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, Literal

from rsq_pipe.connectors.csv.date_format import by_format

FieldType = Literal["str", "int", "float", "bool", "date", "datetime", "decimal"]

_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}


def _int(text: str) -> int:
    if "_" in text:  # int() takes 1_000 for a number
        raise ValueError
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if "_" in text or not math.isfinite(number):  # a JSON record holds neither NaN nor infinity
        raise ValueError
    return number


def _bool(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError from None


# A JSON record holds no dates and no decimals: these are checked, and stay the text they were.


def _date(text: str) -> str:
    date.fromisoformat(text)
    return text


def _datetime(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _decimal(text: str) -> str:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError from None
    if "_" in text or not number.is_finite():
        raise ValueError
    return text


PARSERS: dict[FieldType, Callable[[str], Any] | None] = {
    "str": None,
    "int": _int,
    "float": _float,
    "bool": _bool,
    "date": _date,
    "datetime": _datetime,
    "decimal": _decimal,
}

_WITH_COMMA = ("float", "decimal")


def parser(type_: FieldType, *, decimal: str = ".", form: str = "") -> Callable[[str], Any] | None:
    """
    Find what reads the fields of a column; None for text.

    Args:
        type_: What they are.
        decimal: The character before the decimals of a number.
        form: How a date or moment is written: `%d.%m.%Y`; empty for ISO 8601.
    """
    if form:
        return partial(by_format, form=form)
    plain = PARSERS[type_]
    if decimal == "." or type_ not in _WITH_COMMA or plain is None:
        return plain
    return partial(_with_comma, parse=plain)


def _with_comma(text: str, *, parse: Callable[[str], Any]) -> Any:
    if "." in text:
        raise ValueError
    return parse(text.replace(",", "."))
