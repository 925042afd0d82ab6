"""Dialect: the form of a CSV file, and the options that describe it."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Struct
from pydantic import AfterValidator, Field

from rsq_pipe.suggestion import suggest

if TYPE_CHECKING:
    from _csv import Reader

UTF8 = "utf-8"
DELIMITERS = (";", "\t", "|", ",")
_SPELLED = {"\t": "\\t"}
_WIDE = ("utf-16", "utf-32")
_COMMON = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "iso-8859-15",
)
_ASCII = bytes(range(128))


class Dialect(Struct, frozen=True):
    """
    Describe the form of a CSV file.

    Args:
        delimiter: The character between two fields.
        quote: The character around a field that holds a delimiter or a newline; empty for none.
        encoding: The encoding of its bytes.
        skip: How many lines come before the header.
        comment: The prefix of lines that are skipped; empty for none.
        trim: Whether white space around a field is removed.
    """

    delimiter: str = ","
    quote: str = '"'
    encoding: str = UTF8
    skip: int = 0
    comment: str = ""
    trim: bool = False

    @property
    def line_encoding(self) -> str:
        """The encoding of a line's bytes: files of wide characters are read as UTF-8."""
        return UTF8 if is_wide(self.encoding) else self.encoding

    def rows(self, lines: Iterable[str]) -> Reader:
        """
        Split lines into rows.

        Raises:
            csv.Error: A row is malformed. (A quote that is never closed is an error, not a field that holds
                the rest of the file.)
        """
        if not self.quote:
            return csv.reader(
                lines,
                delimiter=self.delimiter,
                quoting=csv.QUOTE_NONE,
                skipinitialspace=self.trim,
                strict=True,
            )
        return csv.reader(
            lines, delimiter=self.delimiter, quotechar=self.quote, skipinitialspace=self.trim, strict=True
        )

    def stripped(self, row: Sequence[str]) -> Sequence[str]:
        """Remove the white space around each field, if it is to be removed."""
        return [field.strip() for field in row] if self.trim else row

    def likely_delimiter(self, header: Sequence[str]) -> str:
        """Guess what separates the fields of a header that seems to have one column; empty if unknown."""
        if len(header) != 1:
            return ""
        likely = max(DELIMITERS, key=header[0].count)
        return likely if likely in header[0] and likely != self.delimiter else ""


def spelled(delimiter: str) -> str:
    """Format a delimiter as in a pipeline file, within double quotes."""
    return _SPELLED.get(delimiter, delimiter)


def is_wide(encoding: str) -> bool:
    """Return whether a newline is more than one byte."""
    return encoding.startswith(_WIDE)


def _check_encoding(name: str) -> str:
    """Check that this is a text encoding in which newlines are newlines; ValueError otherwise."""
    try:
        found = codecs.lookup(name).name
        fits = is_wide(found) or _ASCII.decode(name, "replace") == _ASCII.decode("ascii")
    except (LookupError, UnicodeError, ValueError):
        found, fits = "", False
    if not fits:
        raise ValueError(f"there is no encoding {name!r} for csv; {suggest(name, _COMMON)}")
    return UTF8 if found in (UTF8, "utf-8-sig", "ascii") else found


Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(
        description="What the bytes of the file mean: `utf-8` (with or without a byte order mark), `utf-16`, "
        "`latin-1`, `cp1252`, or another that Python knows, if newlines are newlines in it."
    ),
]
