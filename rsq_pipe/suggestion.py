"""Suggestion: the name a user most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 30
"""Names that a message lists."""


_OTHER_WORDS = {
    **dict.fromkeys(("file", "files", "filename", "glob"), "path"),
    **dict.fromkeys(("database", "db", "filepath"), "path"),
    **dict.fromkeys(("poll", "interval"), "every"),
    **dict.fromkeys(("function", "func"), "call"),
    **dict.fromkeys(("expire", "expires", "expiry"), "ttl"),
    "cmd": "command",
    "retries": "attempts",
}
"""What other tools call a key -> what it is called here; only where a mapping has such a key."""


OTHER_TYPES = {
    **dict.fromkeys(("number", "numeric", "double", "real"), "float"),
    **dict.fromkeys(("integer", "long", "bigint", "smallint"), "int"),
    **dict.fromkeys(("string", "text", "varchar", "char", "uuid", "email"), "str"),
    "boolean": "bool",
    **dict.fromkeys(("array", "tuple"), "list"),
    **dict.fromkeys(("object", "map", "mapping", "struct", "record"), "dict"),
    **dict.fromkeys(("timestamp", "timestamptz", "time", "moment"), "datetime"),
}
"""Types of other languages -> what they are called here."""


def near(word: str, choices: Iterable[str]) -> str | None:
    """Find the choice that looks most like a word, or None."""
    matches = get_close_matches(word.lower(), {choice.lower(): choice for choice in choices}, n=1, cutoff=0.6)
    return next((choice for choice in choices if matches and choice.lower() == matches[0]), None)


def meant(key: str, keys: Iterable[str]) -> str | None:
    """Find the key of a mapping that an unknown key most likely means, or None."""
    known = set(keys)
    other = _OTHER_WORDS.get(key.lower())
    return other if other in known else near(key, sorted(known))


def suggest(word: str, choices: Iterable[str], *, otherwise: str = "") -> str:
    """Say "did you mean" for a near miss, else list the choices (or say `otherwise`)."""
    known = list(choices)
    match = near(word, known)
    if match:
        return f"did you mean {match!r}?"
    if otherwise:
        return otherwise
    return f"use {one_of(_first(known))}" if known else ""


def _first(names: list[str]) -> list[str]:
    """Keep a list readable: a csv header may hold thousands of names."""
    more = len(names) - MOST
    return [*names[:MOST], f"one of {more:,} others"] if more > 1 else names


def one_of(names: Iterable[str]) -> str:
    """Join names for a sentence: `a, b or c`."""
    known = list(names)
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} or {known[-1]}"
