"""Naming: names of objects; a sink makes them from a template, a source matches them with a pattern."""

from __future__ import annotations

import re
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
        template: A path with `{part}`, and optionally `{date}` and `{hour}`.

    Raises:
        ValueError: It does not name parts.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        named = _PLACE.findall(template)
        unknown = next((name for name in named if name not in _PLACES), None)
        if unknown is not None:
            raise ValueError(f"there is no {{{unknown}}}; use {', '.join(f'{{{name}}}' for name in _PLACES)}")
        if named.count("part") != 1 or any(named.count(name) > 1 for name in _PLACES):
            raise ValueError("the path needs one `{part}`: orders/{date}/{part}.jsonl.gz")
        if set("{}*?[]") & set(_PLACE.sub("", template)):
            raise ValueError("the path holds a brace or a wildcard that is none of {part}, {date} and {hour}")
        pieces = _PLACE.split(template)
        self._pattern = re.compile(
            "".join(_PLACES[piece] if at % 2 else re.escape(piece) for at, piece in enumerate(pieces))
        )
        self.prefix = pieces[0]
        """The common beginning of all names."""

    def name(self, number: int, at: int) -> str:
        """Build the name of a part that was begun at a time, in seconds since 1970."""
        moment = datetime.fromtimestamp(at, UTC)
        day, hour = f"{moment:%Y-%m-%d}", f"{moment:%H}"
        return self._template.format(part=f"{number:0{DIGITS}}", date=day, hour=hour)

    def number(self, path: str) -> int | None:
        """Parse a part's number from its name; None if it is another object."""
        found = self._pattern.fullmatch(path)
        return int(found["part"]) if found else None


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
