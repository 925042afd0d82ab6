"""Names: tables and columns, quoted for PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 63
"""Maximum bytes of a name; PostgreSQL silently truncates longer ones."""


def quoted(name: str) -> str:
    """Quote a name; one with a dot is schema and table."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def listed(names: Iterable[str]) -> str:
    """Quote the names of columns, separated by commas."""
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)


def checked(name: str) -> str:
    """
    Check the name of a table, with or without a schema.

    Raises:
        ValueError: It is not one.
    """
    parts = name.split(".")
    if len(parts) > 2 or not all(parts):
        raise ValueError(f"{name!r} is not a table; write TABLE or SCHEMA.TABLE")
    for part in parts:
        if any(sign in part for sign in '"%\0'):
            raise ValueError(f"{name!r} cannot be used as a table's name here; write it without quotes")
        if len(part.encode()) > LONGEST:
            raise ValueError(f"{part!r} is longer than the {LONGEST} bytes of a name")
    return name
