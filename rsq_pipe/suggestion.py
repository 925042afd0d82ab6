"""Suggestion: the name a user most likely meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 30
"""Maximum number of names that a message lists."""


_OTHER_WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("file", "files", "filename"), ("path", "table")),
    **dict.fromkeys(("glob", "database", "db", "filepath"), ("path",)),
    **dict.fromkeys(("poll", "interval", "schedule", "cron"), ("every",)),
    **dict.fromkeys(("function", "func"), ("call",)),
    **dict.fromkeys(("expire", "expires", "expiry"), ("ttl", "within")),
    **dict.fromkeys(("null_values", "na_values", "null_value", "nulls", "missing_values"), ("na",)),
    **dict.fromkeys(("dtype", "dtypes", "column_types"), ("types",)),
    **dict.fromkeys(("sep", "separator", "delim"), ("delimiter",)),
    **dict.fromkeys(("url", "uri", "connection", "connection_string", "conninfo"), ("dsn",)),
    **dict.fromkeys(("bootstrap_servers", "bootstrap", "servers"), ("brokers",)),
    **dict.fromkeys(("primary_key", "primary_keys", "unique_key", "pk", "on"), ("key",)),
    **dict.fromkeys(("on_conflict", "write_disposition", "if_exists"), ("mode", "exists")),
    **dict.fromkeys(("input", "inputs"), ("given", "from")),
    **dict.fromkeys(("output", "outputs", "expected"), ("expect",)),
    **dict.fromkeys(("max_retries", "max_attempts"), ("attempts",)),
    **dict.fromkeys(("delay", "initial", "initial_interval"), ("first", "backoff")),
    **dict.fromkeys(("max_delay", "max_interval", "maximum"), ("max",)),
    **dict.fromkeys(("timestamp", "time", "time_field", "event_time"), ("on",)),
    **dict.fromkeys(("allowed_lateness", "lateness", "grace"), ("late",)),
    **dict.fromkeys(("auto_offset_reset", "offset", "from_offset"), ("start",)),
    **dict.fromkeys(("codec", "value_deserializer", "value_serializer"), ("format",)),
    **dict.fromkeys(("columns", "select"), ("fields",)),
    **dict.fromkeys(("source", "table_name"), ("table",)),
    **dict.fromkeys(("depends_on", "needs", "after", "upstream", "reads"), ("from",)),
    **dict.fromkeys(("dlq", "dead_letter", "on_failure", "errors"), ("on_error",)),
    "window": ("every", "within"),
    "left_on": ("key",),
    "right_on": ("by",),
    "how": ("kind", "missing"),
    "mode": ("exists",),
    "ttl": ("within",),
    **dict.fromkeys(("group_by", "groupby", "group", "groups"), ("by",)),
    **dict.fromkeys(("metrics", "aggregates", "aggregations"), ("compute",)),
    **dict.fromkeys(("port", "host", "address", "bind"), ("listen",)),
    "cmd": ("command",),
    "name": ("pipeline",),
    "retries": ("attempts",),
}
"""Key in other tools -> its names here; used only if a mapping has such a key."""


OTHER_VERBS = {
    **dict.fromkeys(("unnest", "flatten", "unwind", "flat_map", "unarchive"), "explode"),
    **dict.fromkeys(("enrich", "cache_lookup"), "lookup"),
    **dict.fromkeys(("where", "keep_if"), "filter"),
    **dict.fromkeys(("mapping", "bloblang", "mutation", "mutate", "derive", "with_columns", "assign"), "map"),
    **dict.fromkeys(("python", "function", "func", "processor", "handler", "task", "run"), "call"),
    **dict.fromkeys(("switch", "branch", "split", "partition"), "route"),
    **dict.fromkeys(("deduplicate", "distinct", "unique"), "dedupe"),
    **dict.fromkeys(("group_by", "groupby", "combine", "summarize", "reduce", "window"), "aggregate"),
    **dict.fromkeys(("input", "extract", "reader"), "source"),
    **dict.fromkeys(("output", "load", "writer", "destination"), "sink"),
    **dict.fromkeys(("json_schema", "assert", "expect"), "validate"),
    **dict.fromkeys(("query", "sqltransform"), "sql"),
    **dict.fromkeys(("project", "columns"), "select"),
}
"""Verb of other tools -> the one here."""


OTHER_TYPES = {
    **dict.fromkeys(("number", "numeric", "double", "real"), "float"),
    **dict.fromkeys(("integer", "long", "bigint", "smallint"), "int"),
    **dict.fromkeys(("string", "text", "varchar", "char", "uuid", "email"), "str"),
    "boolean": "bool",
    **dict.fromkeys(("array", "tuple"), "list"),
    **dict.fromkeys(("object", "map", "mapping", "struct", "record"), "dict"),
    **dict.fromkeys(("timestamp", "timestamptz", "time", "moment"), "datetime"),
}
"""Types of other languages -> their names here."""


def near(word: str, choices: Iterable[str]) -> str | None:
    """Find the choice most similar to a word, or None."""
    matches = get_close_matches(word.lower(), {choice.lower(): choice for choice in choices}, n=1, cutoff=0.6)
    return next((choice for choice in choices if matches and choice.lower() == matches[0]), None)


def meant(key: str, keys: Iterable[str]) -> str | None:
    """Find the key of a mapping that an unknown key most likely means, or None."""
    known = set(keys)
    other = next((name for name in _OTHER_WORDS.get(key.lower(), ()) if name in known), None)
    return other or near(key, sorted(known))


def suggest(word: str, choices: Iterable[str], *, otherwise: str = "") -> str:
    """Return "did you mean" for a similar name, otherwise list the choices (or return `otherwise`)."""
    known = list(choices)
    match = near(word, known)
    if match:
        return f"did you mean {match!r}?"
    if otherwise:
        return otherwise
    return f"use {one_of(first_of(known))}" if known else ""


def first_of(names: list[str]) -> list[str]:
    """Shorten a list so that it can be read: a CSV header may hold thousands of names."""
    more = len(names) - MOST
    return [*names[:MOST], f"one of {more:,} others"] if more > 1 else names


def one_of(names: Iterable[str], last: str = "or") -> str:
    """Join names for a sentence: `a, b or c`; with `and` all of them."""
    known = list(names)
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} {last} {known[-1]}"
