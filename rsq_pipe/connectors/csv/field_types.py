"""Field types: how the text of a CSV field is parsed, and formats for dates that are not ISO 8601."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

FieldType = Literal["str", "int", "float", "bool", "date", "datetime", "decimal"]

_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}

MAX_TEXT = 100
"""Maximum characters of a date with a format, and of the format itself."""

_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DATE, _TIME = frozenset("aAbBdjmuUVwWyYG"), frozenset("fHIMpSzZ")


def _int(text: str) -> int:
    if "_" in text:  # int() accepts 1_000
        raise ValueError
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if "_" in text or not math.isfinite(number):  # a JSON record can hold neither NaN nor infinity
        raise ValueError
    return number


def _bool(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError from None


# A JSON record cannot hold dates or decimals: these are checked, and stay text.


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
    Find the function that reads the fields of a column; None for text.

    Args:
        type_: The type of the fields.
        decimal: The character before the decimals of a number.
        form: How a date or datetime is written, such as `%d.%m.%Y`; empty for ISO 8601.
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


def by_format(text: str, form: str) -> str:
    """
    Convert a date, or a datetime if the format has a time, to ISO 8601; without a zone it counts as UTC.

    Raises:
        ValueError: The text does not match this format.
    """
    if len(text) > MAX_TEXT:
        raise ValueError
    moment = datetime.strptime(text, form)  # noqa: DTZ007  its zone is checked below
    if not _TIME & set(_DIRECTIVE.findall(form)):
        return moment.date().isoformat()
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    written = moment.isoformat()
    return f"{written.removesuffix('+00:00')}Z" if written.endswith("+00:00") else written


def _check_format(form: str) -> str:
    letters = [letter for letter in _DIRECTIVE.findall(form) if letter != "%"]
    wrong = next((letter for letter in letters if letter not in _DATE | _TIME), None)
    if len(form) > MAX_TEXT or not letters:
        raise ValueError(f"{form[:MAX_TEXT]!r} is not a date format; write one such as '%d.%m.%Y'")
    if wrong is not None:
        raise ValueError(f"`%{wrong}` is nothing for a date; write %Y %m %d %H %M %S %f %z %j %a %b, say")
    if not set(letters) & set("yYG"):
        raise ValueError(f"the format {form!r} has no year; add `%Y`")
    if twice := next((letter for letter in letters if letters.count(letter) > 1), ""):
        raise ValueError(f"`%{twice}` appears twice in the format {form!r}")
    return form


DateFormat = Annotated[str, AfterValidator(_check_format)]
