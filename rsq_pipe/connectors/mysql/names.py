"""Names: tables and columns, spelt for MySQL."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(name: str) -> str:
    """Spell the name of a table; one with a dot is database and table."""
    return ".".join(f"`{part}`" for part in name.split("."))


def listed(names: Iterable[str]) -> str:
    """Spell the names of columns, with commas between them."""
    return ", ".join("`" + name.replace("`", "``") + "`" for name in names)
