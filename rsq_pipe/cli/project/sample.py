"""Sample: a file's format and its fields' types, inferred from its first records."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from rsq_pipe.connectors.csv.inference import infer
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError
from rsq_pipe.testing.preview.first_records import format_of

ROWS = 1_000
"""Number of records examined."""

_NULLS = ("NA", "N/A", "NULL", "null", "None", "NaN", "nan", "-")
"""Texts that files use for a missing number."""

_DELIMITERS = (",", ";", "\t", "|")
_NAMES = {bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"}


class Sample(Struct, frozen=True):
    """
    Describe a file.

    Args:
        kind: `csv` or `jsonl`.
        types: Field -> its type: for a CSV file a type of the source, for a JSONL file a rule of `validate`.
        records: Number of records examined.
        first: The first record, with these types.
        delimiter: The character between the fields of a CSV file.
        na: The text for a missing value in a CSV file, in columns that are otherwise not text.
    """

    kind: str
    types: Mapping[str, str]
    records: int
    first: Mapping[str, Any] = field(default_factory=dict)
    delimiter: str = ","
    na: tuple[str, ...] = ()


def sample(file: Path) -> Sample:
    """
    Examine a file's first records.

    Raises:
        ValueError: Its name has no known suffix, or it holds no record.
        SourceError: It cannot be read.
    """
    kind = format_of(file)
    if kind is None:
        raise ValueError(f"{file.name!r} is neither csv nor jsonl, by its name")
    settings: dict[str, Any] = {}
    if kind == "csv":
        settings["delimiter"] = _delimiter(file)
    records = _records(file, kind, settings)
    if not records:
        raise ValueError(f"{file.name!r} holds no record to infer anything from")
    if kind == "jsonl":
        return Sample(kind, _rules(records), len(records), records[0])
    header = list(records[0])
    rows = [[value or "" for value in record.values()] for record in records]
    na = _nulls(header, rows)
    types = {name: str(type_) for name, type_ in infer(header, rows, na).items() if type_ != "str"}
    typed = _records(file, kind, {**settings, "types": types, "na": na}, 1)
    return Sample(kind, types, len(records), typed[0] if typed else {}, settings["delimiter"], na)


def _nulls(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Find the words for a missing value: without them a column holds only numbers, or only dates."""
    plain, there = infer(header, rows, ()), {text for row in rows for text in row}
    return tuple(word for word in _NULLS if word in there and infer(header, rows, (word,)) != plain)


def _records(file: Path, kind: str, settings: dict[str, Any], size: int = ROWS) -> list[dict[str, Any]]:
    made = connector("source", kind)
    assert made.connect is not None
    # The file is taken as complete for now: its last line is whole.
    options = made.options(path=escape(str(file.resolve())), final=True, **settings)
    source = made.connect(options, stage="read", root=file.resolve().parent)
    (shard,) = source.shards()
    found: list[dict[str, Any]] = []
    for chunk in source.read(shard, "", size):
        found += chunk.records
        if len(found) >= size:
            break
    return found[:size]


def _delimiter(file: Path) -> str:
    """Detect the field separator from the header."""
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
            header = lines.readline(65_536).decode(errors="replace")
    except (OSError, EOFError) as exc:
        raise SourceError(f"{os.fspath(file)} cannot be read: {exc}", stage="read") from exc
    return max(_DELIMITERS, key=header.count)


def _rules(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return a `validate` rule for each field; none for a field with values of several types."""
    rules: dict[str, str] = {}
    for name in dict.fromkeys(name for record in records for name in record):
        values = [record[name] for record in records if record.get(name) is not None]
        if kind := _kind(values):
            rules[name] = kind if len(values) == len(records) else f"{kind}?"
    return rules


def _kind(values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return "float"
    if len(kinds) != 1:
        return ""
    kind = _NAMES.get(kinds.pop(), "")
    if kind != "str":
        return kind
    dated = infer(["it"], [[value] for value in values if value], ())["it"]
    return dated if dated in ("date", "datetime") and all(values) else kind
