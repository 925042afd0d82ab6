"""Sample: a file's format and its fields' types, inferred from its first records."""

from __future__ import annotations

import codecs
import io
import os
import zlib
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from rsq_pipe.connectors.csv.inference import infer
from rsq_pipe.connectors.files.unpacked import Unpacked, is_packed
from rsq_pipe.connectors.table import connector
from rsq_pipe.connectors.wording import wording
from rsq_pipe.errors import SourceError
from rsq_pipe.testing.preview.first_records import format_of

ROWS = 1_000
"""Number of records examined."""

_NULLS = ("NA", "N/A", "NULL", "null", "None", "NaN", "nan", "-")
"""Texts that files use for a missing number."""

_LOOKED = 1 << 20
_BLOCK = 1 << 16
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
        encoding: The encoding of a CSV file; empty for UTF-8.
    """

    kind: str
    types: Mapping[str, str]
    records: int
    first: Mapping[str, Any] = field(default_factory=dict)
    delimiter: str = ","
    na: tuple[str, ...] = ()
    encoding: str = ""


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
    encoding = ""
    if kind == "csv":
        begin = _begin(file)
        encoding = _encoding(begin)
        line = begin.partition(b"\n")[0].decode(errors="replace")
        settings["delimiter"] = max(_DELIMITERS, key=line.count)
        settings |= {"encoding": encoding} if encoding else {}
    records = _records(file, kind, settings)
    if kind == "jsonl":
        return Sample(kind, _rules(records), len(records), records[0])
    header = list(records[0])
    rows = [[value or "" for value in record.values()] for record in records]
    na = _nulls(header, rows)
    types = {name: str(type_) for name, type_ in infer(header, rows, na).items() if type_ != "str"}
    typed = _records(file, kind, {**settings, "types": types, "na": na}, 1)
    first = typed[0] if typed else {}
    return Sample(kind, types, len(records), first, settings["delimiter"], na, encoding)


def _nulls(header: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Find the words for a missing value: without them a column holds only numbers, or only dates."""
    plain, there = infer(header, rows, ()), {text for row in rows for text in row}
    return tuple(word for word in _NULLS if word in there and infer(header, rows, (word,)) != plain)


def _records(file: Path, kind: str, settings: dict[str, Any], size: int = ROWS) -> list[dict[str, Any]]:
    """
    Read the first records.

    Raises:
        ValueError: There is none.
    """
    made = connector("source", kind)
    assert made.connect is not None
    # The file is taken as complete for now: its last line is whole.
    options = made.options(path=escape(str(file.resolve())), final=True, **settings)
    source = made.connect(options, stage="read", root=file.resolve().parent)
    (shard,) = source.shards()
    found: list[dict[str, Any]] = []
    why = ""
    for chunk in source.read(shard, "", size):
        found += chunk.records
        why = why or next((f": {arrival.error}" for _, arrival in chunk.broken), "")
        if len(found) >= size:
            break
    if not found:
        raise ValueError(f"{file.name!r} holds no record to infer anything from{why}")
    return found[:size]


def _begin(file: Path) -> bytes:
    """Read the first MiB, or as much of it as can be decompressed."""
    found = b""
    try:
        with io.BufferedReader(Unpacked(file)) if is_packed(file) else file.open("rb") as opened:
            while len(found) < _LOOKED and (more := opened.read1(_BLOCK)):
                found += more
    except (OSError, EOFError, zlib.error) as exc:
        if not found:
            raise SourceError(f"{os.fspath(file)} cannot be read: {wording(exc)}", stage="read") from exc
    return found


def _encoding(begin: bytes) -> str:
    """Guess the encoding of text from its first bytes; empty for UTF-8."""
    if begin.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return "" if begin.startswith((b"\x1f\x8b", b"PK\x03\x04", b"PAR1")) or b"\0" in begin else "cp1252"
    return ""


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
