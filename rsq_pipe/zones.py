"""Zones: time zones by their names in the IANA database, such as Europe/Berlin."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator

from rsq_pipe.suggestion import near

_LEAST = 5
"""Characters of a word from which a similar name is looked for: `PST` is similar to `EST`, and not it."""

_MOST = 100
"""Characters of a name."""


def time_zone(name: str) -> ZoneInfo:
    """
    Find a time zone by its name.

    Raises:
        ValueError: There is none; the message says which may be meant.
    """
    if not isinstance(name, str):
        raise TypeError(f"a time zone is text, such as 'Europe/Berlin', and not {type(name).__name__}")
    if len(name) > _MOST:
        raise ValueError(f"a text of more than {_MOST} characters is not a time zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ValueError(f"there is no time zone {name!r}; {_instead(name)}") from exc


def check_zone(name: str) -> str:
    """Return the name of a time zone; ValueError if there is none."""
    return time_zone(name).key


@lru_cache(maxsize=256)  # a record's field may be the name
def _instead(name: str) -> str:
    known = sorted(available_timezones())
    if not known:
        return "this machine has no time zones: install the system's package tzdata, or `pip install tzdata`"
    word = name.strip().replace(" ", "_")
    cities = {zone.rpartition("/")[2]: zone for zone in known if "/" in zone}
    place = word.rpartition("/")[2]
    areas = {zone.partition("/")[0] for zone in known}
    if len(place) >= _LEAST and place.replace("_", "").isalpha() and word not in areas:
        city = near(place, cities)
        found = near(word, known) if "/" in word else None
        if found is None or (city is not None and city.lower() == place.lower()):
            found = cities[city] if city else None
        if found:
            return f"did you mean {found!r}?"
    return "write one such as Europe/Berlin, or UTC"


Zone = Annotated[str, AfterValidator(check_zone)]
"""The name of a time zone, as a setting."""
