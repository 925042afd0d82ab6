"""Naming: names of objects; a sink makes them from a template, a source matches them with a pattern."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

DIGITS = 8
"""Number of digits of a part's number, so that names sort as numbers do."""

_PLACES = {"part": rf"(?P<part>\d{{{DIGITS},}})", "date": r"\d{4}-\d{2}-\d{2}", "hour": r"\d{2}"}
_PLACE = re.compile(r"\{([^{}]*)\}")

_PIECE = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|[^*?\[]+|\[")


class Naming:
    """
    Build names of parts.

    Args:
        template: A path with `{part}`, optionally `{date}` and `{hour}`, and the fields.
        fields: The fields whose values are in the names.

    Raises:
        ValueError: It does not name parts.
    """

    def __init__(self, template: str, fields: Sequence[str] = ()) -> None:
        self._template = template
        self.fields = tuple(fields)
        places = {**_PLACES, **dict.fromkeys(fields, "[^/]+")}
        named = _PLACE.findall(template)
        _check_fields(self.fields, named)
        unknown = next((name for name in named if name not in places), None)
        if unknown is not None:
            known = ", ".join(f"{{{name}}}" for name in _PLACES)
            raise ValueError(
                f"there is no {{{unknown}}}; use {known}, or `partition_by: {unknown}` if it is a field of "
                "the records"
            )
        if named.count("part") != 1 or any(named.count(name) > 1 for name in places):
            raise ValueError("the path needs one `{part}`: orders/{date}/{part}.jsonl.gz")
        if set("{}*?[]") & set(_PLACE.sub("", template)):
            raise ValueError("the path holds a brace or a wildcard that is none of {part}, {date} and {hour}")
        pieces = _PLACE.split(template)
        self._pattern = re.compile(
            "".join(places[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
        )
        self.prefix = pieces[0]
        """The common beginning of all names."""

    def name(self, number: int, at: int, values: Sequence[str] = ()) -> str:
        """Build the name of a part begun at a time, in seconds since 1970, with the values of its fields."""
        moment = datetime.fromtimestamp(at, UTC)
        texts = {"part": f"{number:0{DIGITS}}", "date": f"{moment:%Y-%m-%d}", "hour": f"{moment:%H}"}
        texts |= zip(self.fields, values, strict=True)
        return _PLACE.sub(lambda place: texts[place[1]], self._template)

    def number(self, path: str) -> int | None:
        """Parse a part's number from its name; None if it is another object."""
        found = self._pattern.fullmatch(path)
        return int(found["part"]) if found else None


def _check_fields(fields: Sequence[str], named: Sequence[str]) -> None:
    """Check that each field has a place in the path, and a name of its own."""
    for field in fields:
        if field in _PLACES:
            raise ValueError(
                f"`partition_by` names the field {field!r}, and {{{field}}} is something else here; give the "
                "field another name in a stage above"
            )
        if field not in named:
            raise ValueError(f"`url` has no place for {field!r} of `partition_by`; write {{{field}}} there")


class Pattern:
    """
    Match names of objects as a shell matches paths: `*`, `?` and `[...]` within a part, `**` any parts.

    Args:
        path: The pattern.
    """

    def __init__(self, path: str) -> None:
        *folders, last = path.split("/")
        pieces = ["(?:[^/]+/)*" if part == "**" else f"{_within(part)}/" for part in folders]
        pieces.append(".*" if last == "**" else _within(last))
        self._pattern = re.compile("".join(pieces), re.DOTALL)
        self.prefix = re.split(r"[*?\[]", path, maxsplit=1)[0]
        """The common beginning of all names."""

    def matches(self, name: str) -> bool:
        """Return whether an object matches; a placeholder for a folder does not."""
        return not name.endswith("/") and self._pattern.fullmatch(name) is not None


def _within(part: str) -> str:
    return "".join(map(_expression, _PIECE.findall(part)))


def _expression(piece: str) -> str:
    if piece.startswith("*"):
        return "[^/]*"
    if piece == "?":
        return "[^/]"
    if piece.startswith("[") and piece.endswith("]"):
        inner = piece[1:-1].replace("\\", "\\\\")
        return f"[^{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
    return re.escape(piece)
