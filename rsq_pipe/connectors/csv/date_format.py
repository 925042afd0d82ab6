"""Date formats: how the dates of a csv column are written, where that is not ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

MAX_TEXT = 100
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DATE, _TIME = frozenset("aAbBdjmuUVwWyYG"), frozenset("fHIMpSzZ")


def by_format(text: str, form: str) -> str:
    """
    Read a date, or a moment where the format has a time, as ISO 8601; in UTC where it names no zone.

    Raises:
        ValueError: The text is none of this format.
    """
    if len(text) > MAX_TEXT:
        raise ValueError
    moment = datetime.strptime(text, form)  # noqa: DTZ007  its zone is looked at below
    if not _TIME & set(_DIRECTIVE.findall(form)):
        return moment.date().isoformat()
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    written = moment.isoformat()
    return f"{written.removesuffix('+00:00')}Z" if written.endswith("+00:00") else written


def _check(form: str) -> str:
    letters = [letter for letter in _DIRECTIVE.findall(form) if letter != "%"]
    wrong = next((letter for letter in letters if letter not in _DATE | _TIME), None)
    if len(form) > MAX_TEXT or not letters:
        raise ValueError(f"{form[:MAX_TEXT]!r} is no format of dates; write one such as '%d.%m.%Y'")
    if wrong is not None:
        raise ValueError(f"`%{wrong}` is nothing for a date; write %Y %m %d %H %M %S %f %z %j %a %b, say")
    if not set(letters) & set("yYG"):
        raise ValueError(f"the format {form!r} has no year; add `%Y`")
    if twice := next((letter for letter in letters if letters.count(letter) > 1), ""):
        raise ValueError(f"`%{twice}` stands twice in the format {form!r}")
    return form


DateFormat = Annotated[str, AfterValidator(_check)]
