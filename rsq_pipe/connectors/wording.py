"""Wording: why something cannot be read, in our own words for any library."""

from __future__ import annotations

import csv
import gzip
import zlib

import msgspec

from rsq_pipe.streams.wording import unreadable

_CSV = {  # the csv module's message: ours
    "unexpected end of data": "a quote is opened and not closed",
    "' expected after '": "a closing quote is followed by something else than the delimiter",
    "new-line character seen": "a field without quotes contains a carriage return",
    "field larger than": "a field is longer than max_line",
    "line contains NUL": "it contains a NUL character",
}


def wording(error: Exception) -> str:
    """Describe why bytes are not a record, or a file cannot be read."""
    match error:
        case UnicodeDecodeError() | RecursionError():
            return unreadable(error)
        case msgspec.DecodeError():
            return f"it is not JSON: {unreadable(error)}"
        case csv.Error():
            return next((ours for theirs, ours in _CSV.items() if theirs in str(error)), str(error))
        case OSError() | EOFError() | zlib.error():
            return _file(error)
    return str(error)


def _file(error: Exception) -> str:
    text = str(error)
    match error:
        case gzip.BadGzipFile():
            return "it is not a gzip file" if "Not a gzip" in text else "its packed data are damaged"
        case OSError():
            reason = error.strerror or text
            return reason[:1].lower() + reason[1:]
        case EOFError():
            return "it ends in the middle of its compressed data"
    return "its packed data are damaged"
