"""Pattern: which objects a source reads, by their names."""

from __future__ import annotations

import re

_PIECE = re.compile(r"\*+|\?|\[!?\]?[^\]/]*\]|[^*?\[]+|\[")


class Pattern:
    """
    Match names of objects, as a shell matches paths: `*`, `?` and `[...]` within a part, `**` any parts.

    Args:
        path: The pattern.
    """

    def __init__(self, path: str) -> None:
        *folders, last = path.split("/")
        pieces = ["(?:[^/]+/)*" if part == "**" else f"{_within(part)}/" for part in folders]
        pieces.append(".*" if last == "**" else _within(last))
        self._pattern = re.compile("".join(pieces), re.DOTALL)
        self.prefix = re.split(r"[*?\[]", path, maxsplit=1)[0]
        """What all names begin with."""

    def matches(self, name: str) -> bool:
        """Tell whether an object is meant; what stands for a folder is none."""
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
