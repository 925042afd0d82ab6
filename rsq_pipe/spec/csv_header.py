"""CSV header: the columns of a source's files, if these exist when a pipeline is checked."""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from glob import has_magic
from itertools import dropwhile, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from rsq_pipe.connectors.csv.advice import advised, of_another_kind
from rsq_pipe.connectors.csv.columns import HeaderError, check_header
from rsq_pipe.connectors.csv.dialect import UTF8, Dialect
from rsq_pipe.connectors.csv.inference import asked, hidden, infer, resolved
from rsq_pipe.connectors.files.matching import TooManyError, matching
from rsq_pipe.connectors.files.unpacked import Unpacked, is_packed
from rsq_pipe.spec.known_fields import NO_TEXT, Known

MAX_FILES = 20
"""Maximum number of files to look into; if a pattern matches more, nothing is known."""

MAX_BYTES = 1 << 20
MAX_ROWS = 1_000


NO_HIDDEN: Mapping[str, tuple[str, str]] = MappingProxyType({})


class Header(Struct, frozen=True):
    """
    Hold the columns found in the headers of a CSV source's files.

    Args:
        known: The fields of their records; None if one of them cannot be read.
        likely: If all have a single column, the character that seems to be the real delimiter; else empty.
        hidden: Columns inferred as text because of a value such as `NA` -> their type without it, and it.
        problem: Which file cannot be read, why, and what to do about it; empty if all can.
    """

    known: Known | None
    likely: str = ""
    hidden: Mapping[str, tuple[str, str]] = NO_HIDDEN
    problem: str = ""


def columns(options: Any, root: Path) -> Header | None:
    """
    Find the fields of a CSV source's records.

    Args:
        options: The settings of the source.
        root: The project root.

    Returns:
        None if unknown: there is no file, or one cannot be opened.
    """
    if options.columns:
        known = Known(options.columns, frozenset(options.columns), firm=True, origin="`columns`")
        return Header(known.holding(_text(options, options.columns, ())))
    headers: list[tuple[str, ...]] = []
    names: list[str] = []
    rows: list[list[str]] = []
    try:
        for pattern in options.path:
            found = list(islice(matching(root, pattern), MAX_FILES + 1))
            if pattern == "-" or not found or len(headers) + len(found) > MAX_FILES:
                return None
            for file in found:
                names.append(file.name)
                header, *sample = _rows(file, options.dialect) or [[]]
                headers.append(tuple(header))
                rows = rows or sample
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        return Header(None, problem=f"{names[-1]}:{line}: {advised(exc, options.dialect)}")
    except (csv.Error, HeaderError) as exc:
        return Header(None, problem=f"{names[-1]}: {advised(exc, options.dialect)}")
    except _OtherKindError as exc:
        return Header(None, problem=f"{names[-1]}: it is not csv; {exc}")
    except (OSError, EOFError, ValueError, zlib.error, TooManyError):
        return None
    if not all(headers):
        return None
    fields = tuple(dict.fromkeys(name for header in headers for name in header))
    always = frozenset(fields).intersection(*headers)
    origin = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    # A pattern may match other files by the time of the run.
    firm = not any(map(has_magic, options.path))
    known = Known(fields, always, firm=firm, origin=f"the header of {origin}")
    known = known.holding(_text(options, headers[0], rows))
    inferred = asked(options.types, headers[0], options.formats)
    texts = hidden(headers[0], rows, options.na, options.decimal)
    texts = {name: one for name, one in texts.items() if name in inferred}
    return Header(known, options.dialect.likely_delimiter(fields), texts)


def text_of_table(
    file: Path, types: Mapping[str, str], na: Sequence[str], delimiter: str
) -> Mapping[str, str]:
    """
    Find which columns of a lookup's file hold text.

    Returns:
        Column -> the type that its first rows look like; empty if the file cannot be read.
    """
    try:
        header, *rows = _rows(file, Dialect(delimiter)) or [[]]
    except (csv.Error, HeaderError, _OtherKindError, OSError, ValueError):
        return NO_TEXT
    like = infer(header, rows, na, ".")
    like |= {name: type_ for name, (type_, _) in hidden(header, rows, na, ".").items()}
    return {name: "" if like[name] == "str" else like[name] for name in header if name not in types}


def _text(options: Any, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Tell which columns hold text, as the settings say -> the type that the first rows look like."""
    # What is inferred may be anything.
    types = resolved(options.types, header, dict.fromkeys(asked(options.types, header), "int"))
    like = infer(header, rows, options.na, options.decimal)
    like |= {name: type_ for name, (type_, _) in hidden(header, rows, options.na, options.decimal).items()}
    stay = ("str", "date", "datetime", "decimal")
    text = (name for name in header if name in options.formats or types.get(name, "str") in stay)
    return {name: "" if name in options.types or like[name] == "str" else like[name] for name in text}


class _OtherKindError(ValueError):
    """Say what a file is that is not csv."""


def _rows(file: Path, dialect: Dialect) -> list[list[str]]:
    """Read the header, and the first rows below it; empty if there is none yet."""
    if not file.is_file():
        raise ValueError(f"{file} is not a file")
    with io.BufferedReader(Unpacked(file)) if is_packed(file) else file.open("rb") as opened:
        encoding = "utf-8-sig" if dialect.encoding == UTF8 else dialect.encoding
        # The last character may be cut off.
        text = codecs.getincrementaldecoder(encoding)().decode(opened.read(MAX_BYTES))
    if "\n" not in text:
        return []  # it may still be being written
    parsed = dialect.rows(_lines(text, dialect))
    header = [*dialect.stripped(next(iter(parsed), []))]
    if kind := of_another_kind(header):
        raise _OtherKindError(kind)
    if header:
        check_header(header)
    rows = [header]
    with suppress(csv.Error):  # of a row: the run makes it a dead letter
        rows += islice(parsed, MAX_ROWS)
    return rows


def _lines(text: str, dialect: Dialect) -> Iterator[str]:
    """Yield the lines, starting with the header."""
    lines = islice(io.StringIO(text, newline="\n"), dialect.skip, None)
    if not dialect.comment:
        return lines
    return dropwhile(lambda line: line.startswith(dialect.comment), lines)
