"""Advice: what to set, or to do with a file, when a row or a header cannot be read."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence

from rsq_pipe.connectors.csv.columns import FieldError, HeaderError
from rsq_pipe.connectors.csv.dialect import UTF8, Dialect
from rsq_pipe.connectors.csv.inference import NO_VALUES
from rsq_pipe.connectors.wording import wording

_KINDS: Sequence[tuple[bytes, str]] = (
    (b"\x1f\x8b", "it is compressed by gzip: end its name in .gz"),
    (b"BZh", "it is compressed by bzip2: end its name in .bz2"),
    (b"\x28\xb5\x2f\xfd", "it is compressed by zstd: end its name in .zst"),
    (b"PK\x03\x04", "it is a zip archive, as a spreadsheet is (.xlsx, .ods): unpack it, or save it as csv"),
    (b"PAR1", "it is a Parquet file: read it by `type: parquet`"),
    (b"\xff\xfe", "it begins like UTF-16: set `encoding: utf-16`"),
    (b"\xfe\xff", "it begins like UTF-16: set `encoding: utf-16`"),
)
_WITH_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
_DATES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "%d.%m.%Y"),
    (re.compile(r"(?:1[3-9]|2\d|3[01])/\d{1,2}/\d{4}"), "%d/%m/%Y"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}-\d{1,2}-\d{4}"), "%d-%m-%Y"),
    (re.compile(r"\d{4}/\d{1,2}/\d{1,2}"), "%Y/%m/%d"),
)
_TIMES: Sequence[tuple[re.Pattern[str], str]] = (
    (re.compile(r"[ T]\d{1,2}:\d{2}"), "%H:%M"),
    (re.compile(r"[ T]\d{1,2}:\d{2}:\d{2}"), "%H:%M:%S"),
)


def advised(error: Exception, dialect: Dialect, decimal: str = ".") -> str:
    """Return why a header or a row cannot be read, and what to do about it if that is known."""
    why = wording(error)
    fix = _fix(error, dialect, decimal)
    return f"{why}; {fix}" if fix else why


def of_another_kind(header: Sequence[str]) -> str:
    """Return what a file is whose first bytes are text but not CSV; empty if it may be CSV."""
    first = header[0].encode() if header else b""
    return next((fix for begin, fix in _KINDS if first.startswith(begin)), "")


def _fix(error: Exception, dialect: Dialect, decimal: str) -> str:
    match error:
        case UnicodeDecodeError() if dialect.encoding == UTF8:
            kind = next((fix for begin, fix in _KINDS if bytes(error.object).startswith(begin)), "")
            return kind or "if it is written in another encoding, set that: `encoding: cp1252`, say"
        case csv.Error() if "new-line character" in str(error):
            return "if the lines of the file end in nothing else, convert it: tr '\\r' '\\n'"
        case HeaderError():
            skip = dialect.skip + 1
            return f"name the columns in the pipeline file: `header: false`, `skip: {skip}`, `columns: [...]`"
        case FieldError():
            return _of_field(error, decimal)
    return ""


def _of_field(error: FieldError, decimal: str) -> str:
    text = error.text.strip()
    if text.lower() in NO_VALUES:
        return f'if that stands for no value, set `na: ["{text}"]`'
    if error.kind in ("date", "datetime"):
        form = _format_like(text)
        return f'if all are written like that, set `formats: {{{error.name}: "{form}"}}`' if form else ""
    if error.kind in ("float", "decimal") and decimal == "." and _WITH_COMMA.fullmatch(text):
        return 'if the comma stands before the decimals, set `decimal: ","`'
    return ""


def _format_like(text: str) -> str:
    """Guess the format of a date; empty if it looks like none that is common."""
    for pattern, form in _DATES:
        found = pattern.match(text)
        if found is None:
            continue
        rest = text[found.end() :]
        if not rest:
            return form
        for time, clock in _TIMES:
            if time.fullmatch(rest):
                return f"{form}{rest[0]}{clock}"
    return ""
