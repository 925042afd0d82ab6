"""Dates: the functions of expressions for dates and times; a record holds them as ISO 8601 text."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import TypeAlias

from rsq_pipe.units import parse_duration
from rsq_pipe.zones import time_zone

Moment: TypeAlias = str | dt.date
MAX_TEXT = 100
"""Maximum characters of a text parsed with a format, and of a format."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY = 86_400
_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_YEAR = re.compile(r"%.", re.DOTALL)
_DATE, _TIME = "aAbBdjmuUVwWyYG", "fHIMpSzZ"


def date(value: Moment) -> dt.date:
    """Read a date from ISO 8601 text, to compare it; in a record it is text again."""
    if isinstance(value, dt.datetime):
        return value.date()
    return value if isinstance(value, dt.date) else datetime(value).date()


def datetime(value: Moment, zone: str | None = None) -> dt.datetime:
    """Read a moment from ISO 8601 text, to compare it; one without an offset is in the zone, or in UTC."""
    if isinstance(value, str):
        if len(value) > MAX_TEXT:  # further digits after the microseconds are accepted
            raise ValueError(f"a text of more than {MAX_TEXT} characters is not a date")
        moment = dt.datetime.fromisoformat(value)
    elif isinstance(value, dt.datetime):
        moment = value
    elif isinstance(value, dt.date):
        moment = dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001  it gets its zone below
    else:
        raise TypeError(f"{type(value).__name__} is not a date or ISO 8601 text")
    if moment.tzinfo:
        return moment
    return moment.replace(tzinfo=dt.UTC) if zone is None else _by_clock(moment, zone)


def in_zone(value: Moment, zone: str) -> dt.datetime:
    """Return a moment by the clock of a time zone such as `'Europe/Berlin'`, for its local day or hour."""
    return _by_clock(datetime(value), zone)


def _by_clock(moment: dt.datetime, zone: str) -> dt.datetime:
    found = time_zone(zone)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=found).astimezone(dt.UTC)  # a time that clocks left out is moved
    local = moment.astimezone(found)
    # With a fixed offset: Python counts between two moments of one zone as if no clock was changed.
    return local.replace(tzinfo=dt.timezone(local.utcoffset() or dt.timedelta()))


def parse_date(text: str, format: str, zone: str | None = None) -> dt.date:  # noqa: A002  as it is named to users
    """Read a date by a format such as `'%d.%m.%Y'`; a moment (in the zone) where it has a time (`%H:%M`)."""
    if not isinstance(text, str):
        raise TypeError(f"parse_date() takes text, not {type(text).__name__}")
    has_time = check_parse_format(format)
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of more than {MAX_TEXT} characters is not a date")
    try:
        moment = dt.datetime.strptime(text, format)  # noqa: DTZ007  its zone, or UTC, is set below
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a date of the format {format!r}") from exc
    return datetime(moment, zone) if has_time else moment.date()


def format_date(value: Moment, format: str) -> str:  # noqa: A002  as it is named to users
    """Write a date or moment by a format such as `'%d.%m.%Y %H:%M'`."""
    check_format(format)
    moment = datetime(value)
    if moment.year < 1_000:  # the system's strftime writes year 99 as `99`
        format = _YEAR.sub(lambda found: _year(found, moment), format)  # noqa: A001
    return moment.strftime(format)


def _year(found: re.Match[str], moment: dt.datetime) -> str:
    years = {"%Y": moment.year, "%G": moment.isocalendar().year}
    return f"{years[found[0]]:04}" if found[0] in years else found[0]


def duration(text: str) -> float:
    """Return the seconds of a duration: `'90s'`, `'5m'`, `'1h'`, `'7d'`; `'-1h'` is one backwards."""
    if not isinstance(text, str):
        raise TypeError(f"duration() takes text, not {type(text).__name__}")
    return check_duration(text)


def add(value: Moment, duration: str | float) -> dt.date:
    """Return a date or moment plus a duration (`'1h'`, `'-7d'`, or seconds)."""
    seconds = check_duration(duration) if isinstance(duration, str) else duration
    if isinstance(value, str):
        value = dt.date.fromisoformat(value) if len(value) <= 10 else datetime(value)
    elif not isinstance(value, dt.date):
        raise TypeError(f"{type(value).__name__} is not a date or ISO 8601 text")
    if not isinstance(seconds, int | float):
        raise TypeError(f"add() takes a duration ('1h') or seconds, not {type(seconds).__name__}")
    days, rest = divmod(seconds, _DAY)
    if not isinstance(value, dt.datetime) and not rest:
        return value + dt.timedelta(days=days)
    return datetime(value) + dt.timedelta(seconds=seconds)


def timestamp(value: Moment) -> float:
    """Return the seconds from 1970 to a moment."""
    return datetime(value).timestamp()


def from_timestamp(seconds: float) -> dt.datetime:
    """Return the moment so many seconds after the beginning of 1970, in UTC."""
    if not isinstance(seconds, int | float):
        raise TypeError(f"must be real number, not {type(seconds).__name__}")
    return _EPOCH + dt.timedelta(seconds=seconds)


def days_between(start: Moment, end: Moment) -> int:
    """Count the days from one date to another; negative if the second is earlier."""
    return (date(end) - date(start)).days


def seconds_between(start: Moment, end: Moment) -> float:
    """Count the seconds from one moment to another; negative if the second is earlier."""
    return (datetime(end) - datetime(start)).total_seconds()


def year(value: Moment) -> int:
    """Return a date's year."""
    return date(value).year


def month(value: Moment) -> int:
    """Return a date's month, 1 to 12."""
    return date(value).month


def day(value: Moment) -> int:
    """Return a date's day of the month."""
    return date(value).day


def hour(value: Moment) -> int:
    """Return a moment's hour, 0 to 23."""
    return datetime(value).hour


def weekday(value: Moment) -> int:
    """Return a date's day of the week: 1 is Monday, 7 is Sunday."""
    return date(value).isoweekday()


def iso(value: dt.date) -> str:
    """Write a date or moment in the form that records use."""
    text = value.isoformat()
    return f"{text.removesuffix('+00:00')}Z" if text.endswith("+00:00") else text


def check_duration(text: str) -> float:
    """Parse a duration that may be negative; ValueError if it is invalid."""
    if len(text) > MAX_TEXT:
        raise ValueError(f"a text of more than {MAX_TEXT} characters is not a duration")
    return _seconds(text)


@lru_cache(maxsize=256)
def _seconds(text: str) -> float:
    stripped = text.strip()
    sign = -1 if stripped.startswith("-") else 1
    return sign * parse_duration(stripped[1:] if stripped[:1] in ("+", "-") else stripped)


def check_format(text: str) -> None:
    """Refuse an invalid format for writing dates with a ValueError."""
    _directives(_format(text))


def check_parse_format(text: str) -> bool:
    """Refuse an invalid format for parsing dates with a ValueError; return whether it includes a time."""
    return _reads_time(_format(text))


def _format(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a format is text, such as '%Y-%m-%d', and not {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise ValueError(f"a format may have {MAX_TEXT} characters")
    return text


@lru_cache(maxsize=256)
def _directives(text: str) -> tuple[str, ...]:
    """List the letters of a format; refuse widths and flags (`%-d`): they differ by system, or are huge."""
    letters = tuple(_DIRECTIVE.findall(text))
    for letter in letters:
        if letter not in _DATE and letter not in _TIME and letter != "%":
            raise ValueError(
                f"`%{letter}` is nothing for a date; write %Y %m %d %H %M %S %f %z %j %a %b, say"
            )
    if not any(letter != "%" for letter in letters):
        raise ValueError(f"{text!r} is not a format; write one such as '%Y-%m-%d'")
    return letters


@lru_cache(maxsize=256)
def _reads_time(text: str) -> bool:
    letters = [letter for letter in _directives(text) if letter != "%"]
    twice = next((letter for letter in letters if letters.count(letter) > 1), None)
    if twice:
        raise ValueError(f"`%{twice}` appears twice in the format {text!r}")
    if not set(letters) & set("yYG"):
        raise ValueError(f"the format {text!r} has no year; add `%Y`")
    return any(letter in _TIME for letter in letters)
