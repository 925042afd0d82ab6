"""Writing: turns lines of JSON into a Parquet file."""

from __future__ import annotations

import io
import mmap
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import msgspec

Compression = Literal["zstd", "snappy", "gzip", "none"]

_NAMES = {"zstd": "zstd(3)", "snappy": "snappy", "gzip": "gzip(6)", "none": "uncompressed"}
_LARGE_NUMBER = re.compile(rb"[\[:,\-]\d{16,}[,}\]\n]")
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")
_GROUP = 128 * 1024  # how many rows become columns at once, and so are in memory
_BATCH = 8192
_encoder = msgspec.json.Encoder()

Lines: TypeAlias = bytes | Path
"""The input: lines of JSON, or a file of them."""


def write_parquet(
    lines: Lines, to: io.BytesIO | Path, types: Mapping[str, str] | None, compression: Compression
) -> None:
    """
    Write a Parquet file.

    Args:
        lines: Records, none of them without fields; of these types, if any are given.
        to: The file.
        types: Column -> type. None: the type all values of a column have; JSON text if they differ.
        compression: The compression of its pages.

    Raises:
        OSError: It cannot be written.
    """
    if types is not None:
        with _translated_errors():
            _write(_reader(lines, _stated(types)), to, compression)
        return
    try:
        with _translated_errors():
            schema = _as_first(lines, _inferred(lines))
            if not (_has(schema, "Float64") and _has_large_numbers(lines)):
                _write(_reader(lines, schema), to, compression)
                return
    except OSError:  # most likely because of the values: they cannot become columns as they are
        if isinstance(to, io.BytesIO):
            to.seek(0)
            to.truncate()
    with _translated_errors():
        _write(_by_columns(lines), to, compression)


def _write(data: Any, to: io.BytesIO | Path, compression: Compression) -> None:
    from arro3 import io as library  # noqa: PLC0415  imported where it is needed

    library.write_parquet(data, to, compression=_NAMES[compression], max_row_group_size=_GROUP)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn every error of the library into one class, even its panics, which are not Exceptions."""
    try:
        yield
    except BaseException as exc:
        if not isinstance(exc, Exception) and type(exc).__name__ != "PanicException":
            raise
        raise OSError(str(exc)) from exc


def _reader(lines: Lines, schema: Any) -> Any:
    from arro3 import io as library  # noqa: PLC0415

    return library.read_json(_file(lines), schema, batch_size=_BATCH)


def _inferred(lines: Lines) -> Any:
    from arro3 import core  # noqa: PLC0415
    from arro3 import io as library  # noqa: PLC0415

    found: Any = library.infer_json_schema(_file(lines))
    return core.Schema([_without_null(field) for field in found])


def _as_first(lines: Lines, schema: Any) -> Any:
    """Order the columns like the first record's fields; those it does not have come last."""
    from arro3 import core  # noqa: PLC0415

    with _opened(lines) as file:
        places = {name: place for place, name in enumerate(msgspec.json.decode(file.readline()))}
    fields: list[Any] = sorted(schema, key=lambda field: places.get(field.name, len(places)))
    return core.Schema(fields)


def _opened(lines: Lines) -> BinaryIO:
    return io.BytesIO(lines) if isinstance(lines, bytes) else lines.open("rb")


def _file(lines: Lines) -> io.BytesIO | Path:
    return io.BytesIO(lines) if isinstance(lines, bytes) else lines


def _without_null(field: Any) -> Any:
    """Turn a column without values into one of text: most readers know no type without values."""
    from arro3 import core  # noqa: PLC0415

    types: Any = core.DataType
    kind = field.type
    if types.is_null(kind):
        return field.with_type(types.utf8())
    if types.is_list(kind):
        return field.with_type(types.list(_without_null(kind.value_field)))
    if types.is_struct(kind):
        if not kind.fields:
            raise ValueError("an object without fields is not a column of Parquet's")
        return field.with_type(types.struct([_without_null(inner) for inner in kind.fields]))
    return field


def _stated(types: Mapping[str, str]) -> Any:
    from arro3.core import DataType, Field, Schema  # noqa: PLC0415

    kinds = {
        "str": DataType.utf8(),
        "int": DataType.int64(),
        "float": DataType.float64(),
        "bool": DataType.bool(),
        "date": DataType.date32(),
        "datetime": DataType.timestamp("us", tz="UTC"),
        "json": DataType.utf8(),
    }
    fields = []
    for name, type_ in types.items():
        found = _DECIMAL.fullmatch(type_)
        kind = DataType.decimal128(int(found[1]), int(found[2])) if found else kinds[type_]
        fields.append(Field(name, kind, nullable=True))
    return Schema(fields)


def _has(schema: Any, kind: str) -> bool:
    return any(kind in repr(field.type) for field in schema)


def _has_large_numbers(lines: Lines) -> bool:
    """Return whether an integer is too large for a float to hold; text that looks like one counts too."""
    if isinstance(lines, bytes):
        return _LARGE_NUMBER.search(lines) is not None
    with lines.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as seen:
        return _LARGE_NUMBER.search(seen) is not None


def _by_columns(lines: Lines) -> Any:
    """Read each column separately: one whose values differ in type becomes JSON text."""
    from arro3.core import Table  # noqa: PLC0415

    data = lines if isinstance(lines, bytes) else lines.read_bytes()
    records = [msgspec.json.decode(line) for line in data.splitlines()]
    names = dict.fromkeys(name for record in records for name in record)
    return Table.from_pydict({name: _column([record.get(name) for record in records]) for name in names})


def _column(values: list[Any]) -> Any:
    one = b"".join(_lines_of(values))
    with suppress(OSError), _translated_errors():
        schema = _inferred(one)
        if not (_has(schema, "Float64") and _has_large_numbers(one)):
            return _reader(one, schema).read_all().column(0)
    texts = [None if value is None else _encoder.encode(value).decode() for value in values]
    lines = b"".join(_lines_of(texts))
    return _reader(lines, _stated({"": "str"})).read_all().column(0)


def _lines_of(values: list[Any]) -> Iterator[bytes]:
    return (_encoder.encode({"": value}) + b"\n" for value in values)
