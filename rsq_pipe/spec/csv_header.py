"""Csv header: the columns of a source's files, as far as the files are there when a pipeline is checked."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import Any

from rsq_pipe.connectors.files.matching import TooManyError, matching
from rsq_pipe.spec.known_fields import Known

MAX_FILES = 20
"""Files that are looked into; where a pattern matches more, nothing is known."""

MAX_BYTES = 1 << 20


def columns(options: Any, root: Path) -> Known | None:
    """
    Tell which fields the records of a csv source have.

    Args:
        options: The settings of the source.
        root: The project root.

    Returns:
        None where that cannot be told: no file is there, or one that cannot be read.
    """
    headers: list[tuple[str, ...]] = []
    names: list[str] = []
    try:
        for pattern in options.path:
            found = list(islice(matching(root, pattern), MAX_FILES + 1))
            if pattern == "-" or not found or len(headers) + len(found) > MAX_FILES:
                return None
            headers += [_header(file, options.delimiter) for file in found]
            names += [file.name for file in found]
    except (OSError, EOFError, ValueError, csv.Error, TooManyError):
        return None
    if not all(headers):
        return None
    fields = tuple(dict.fromkeys(name for header in headers for name in header))
    always = frozenset(fields).intersection(*headers)
    origin = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    # A pattern may match other files by the time it is run.
    return Known(fields, always, firm=not any(map(has_magic, options.path)), origin=f"the header of {origin}")


def _header(file: Path, delimiter: str) -> tuple[str, ...]:
    if not file.is_file():
        raise ValueError(f"{file} is no file")
    with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
        text = opened.read(MAX_BYTES).decode("utf-8-sig", "ignore")
    if "\n" not in text:
        return ()  # it may still be written
    return tuple(next(_rows(text, delimiter), ()))


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
