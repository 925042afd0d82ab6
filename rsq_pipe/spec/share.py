"""Share: a part of the records, in percent."""

from __future__ import annotations

import re

from msgspec import Struct

from rsq_pipe.spec.validation import describe

PATTERN = r"^[0-9]+(\.[0-9]+)? ?%$"


class Share(Struct, frozen=True):
    """
    Hold a share of records.

    Args:
        text: As written.
        value: More than 0, up to 1.
    """

    text: str
    value: float


def parse_share(value: object) -> Share:
    """
    Parse a share.

    Args:
        value: Such as `1%`.

    Raises:
        ValueError: It is not a share, or lets no record through.
    """
    if isinstance(value, float | int) and not isinstance(value, bool) and 0 < value <= 1:
        raise ValueError(f"a share is written in percent, not as {value:g}; write {value * 100:g}%")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be a share of the records, not {describe(value)}; write a number and %: 1%")
    percent = float(found[1])
    if not 0 < percent <= 100:
        raise ValueError(f"{found[0]} is out of range; write more than 0% and up to 100%")
    return Share(found[0], percent / 100)
