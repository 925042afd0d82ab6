"""Rows at once: reads many lines together, if none of them needs special treatment."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rsq_pipe.connectors.csv.columns import Columns
from rsq_pipe.connectors.csv.dialect import Dialect
from rsq_pipe.connectors.files.chunking import Block
from rsq_pipe.connectors.files.line_reader import length


class RowsAtOnce:
    """
    Read whole lines of a CSV file, up to the first malformed row.

    Args:
        columns: Makes records from rows.
        dialect: The file's dialect.
    """

    def __init__(self, columns: Columns, dialect: Dialect) -> None:
        self._columns = columns
        self._dialect = dialect
        self._delimiter = dialect.delimiter
        self._careful = f"{dialect.quote}\r\0"

    def __call__(self, data: bytes) -> Block:
        """Read as many rows, from the first on, as are whole and match the header."""
        text = _text(data, self._dialect.line_encoding)
        if self._dialect.comment:
            text = _before_comment(text, self._dialect.comment)
        plain = text.replace("\r\n", "\n") if "\r" in text else text
        split = None if any(sign in plain for sign in self._careful) else self._split(plain)
        fields: Sequence[Sequence[str]]
        lines: Sequence[int]
        if split is not None:
            fields, lines, count = split, range(len(split[0])), len(split[0])
        else:
            fields, lines, count = self._parsed(text)
        records: Sequence[dict[str, Any]] = self._columns.records(fields) if lines else []
        if len(records) < len(lines):
            count, lines = lines[len(records)], lines[: len(records)]
        size = len(data) if count == data.count(b"\n") else length(data, count)
        return Block(records, lines, size, count)

    def _split(self, text: str) -> list[list[str]] | None:
        """Split lines without quotes into columns; None if one has not as many fields as the header."""
        width, height = len(self._columns), text.count("\n")
        fields = text.replace("\n", "\n" + self._delimiter).split(self._delimiter)
        # The last line ends with a newline, so an empty field follows it.
        if not height or len(fields) != width * height + 1:
            return None
        ends = "".join(fields[width - 1 : -1 : width])
        # There are as many newlines as rows; so if all are here, each row has its own where it should.
        if ends.count("\n") != height:
            return None
        last = ends.split("\n")
        last.pop()
        if width == 1 and "" in last:  # a blank line is not a row
            return None
        return [*(fields[place:-1:width] for place in range(width - 1)), last]

    def _parsed(self, text: str) -> tuple[list[tuple[str, ...]], list[int], int]:
        """Parse lines up to the first that is not a row with as many fields as the header."""
        width = len(self._columns)
        reader = self._dialect.rows(io.StringIO(text, newline="\n"))
        rows: list[list[str]] = []
        lines: list[int] = []
        count = 0
        try:
            for row in reader:
                if len(row) == width:
                    rows.append(row)
                    lines.append(count)
                elif row:
                    break
                count = reader.line_num
        except csv.Error:  # also if the row continues after these lines
            pass
        return list(zip(*rows, strict=True)), lines, count


def _text(data: bytes, encoding: str) -> str:
    """Decode the lines before the first that is not in this encoding."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        return data[: data.rfind(b"\n", 0, exc.start) + 1].decode(encoding)


def _before_comment(text: str, comment: str) -> str:
    """Return the lines before the first that is a comment, or a part of a field that looks like one."""
    if text.startswith(comment):
        return ""
    return text[: text.find(f"\n{comment}") + 1] or text
