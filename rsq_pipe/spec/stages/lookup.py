"""lookup in a file: a table, the key of its rows, and the fields that a record gets from a row."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec
from pydantic import ValidationError

from rsq_pipe.connectors.csv.field_types import FieldType
from rsq_pipe.connectors.http.addresses import wrong_address
from rsq_pipe.connectors.postgres.dsn import installed, wrong_dsn
from rsq_pipe.extras import install
from rsq_pipe.redaction import redact
from rsq_pipe.spec.document import Document, Path_
from rsq_pipe.spec.key_template import KeyTemplate, parse_template
from rsq_pipe.spec.record_key import RecordKey, read_key
from rsq_pipe.spec.stages.lookup_stage import TABLE, FileTable, HttpTable, PostgresTable, RedisTable, Table
from rsq_pipe.spec.stages.lookup_stage import Lookup as LookupSettings
from rsq_pipe.spec.validation import describe
from rsq_pipe.suggestion import one_of

Missing = Literal["null", "reject", "drop"]

FORMATS = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Suffix of a file's name -> its format."""


class FileRef(msgspec.Struct, frozen=True):
    """
    Identify a file with a row for each key.

    Args:
        path: The path given by the user.
        types, na, keep_empty, delimiter: How a CSV file is parsed.
        max_rows: Maximum number of rows.
    """

    path: str
    types: Mapping[str, FieldType] = msgspec.field(default_factory=dict)
    na: tuple[str, ...] = ()
    keep_empty: bool = False
    delimiter: str = ","
    max_rows: int = 1_000_000

    @property
    def text(self) -> str:
        """A short description."""
        return self.path


@dataclass(frozen=True, slots=True)
class RedisRef:
    """
    Identify the Redis keys that hold rows.

    Args:
        key: The template of the keys.
        url: Their server; empty for the pipeline's own. It may hold a password.
        value: The type of their values; None to find out.
    """

    key: KeyTemplate
    url: str = field(default="", repr=False)
    value: Literal["hash", "json"] | None = None

    @property
    def text(self) -> str:
        """A short description."""
        return f"redis {self.key.text}"


@dataclass(frozen=True, slots=True)
class PostgresRef:
    """
    Identify a query that returns the rows of many keys.

    Args:
        dsn: The server. It may hold a password.
        query: The query; it takes an array for each part of the key.
    """

    dsn: str = field(repr=False)
    query: str

    @property
    def text(self) -> str:
        """A short description."""
        found = re.search(r"\bfrom\s+([\w.\"]+)", self.query, re.IGNORECASE)
        return f"postgres {found[1]}" if found else "postgres"


@dataclass(frozen=True, slots=True)
class HttpRef:
    """
    Identify a web service that returns rows.

    Args:
        url: The template of a key's address.
        headers: The headers of each request. They may hold a password.
        concurrency: Maximum number of concurrent requests.
        allow: Hosts that may resolve to addresses that are refused otherwise.
    """

    url: KeyTemplate
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    concurrency: int = 10
    allow: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """A short description; the text after `?` may be a password."""
        return redact(self.url.text.partition("?")[0])


TableRef: TypeAlias = FileRef | RedisRef | PostgresRef | HttpRef


class CachePolicy(msgspec.Struct, frozen=True):
    """Define how many answers of a server are cached, and for how many seconds."""

    size: int = 100_000
    ttl: float = 60.0


class Lookup(msgspec.Struct, frozen=True):
    """
    Define the lookup for each record.

    Args:
        table: The source of the rows.
        key: The key of a record.
        by: The table's columns that hold the key, in its order.
        name: The field that gets the whole row; empty if single columns are copied.
        fields: Column -> field, for the columns that are copied.
        missing: What becomes of a record whose key has no row.
        cache: How answers of a server are cached.
    """

    table: TableRef
    key: RecordKey
    by: tuple[str, ...]
    name: str = ""
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)
    missing: Missing = "null"
    cache: CachePolicy = CachePolicy()

    @property
    def text(self) -> str:
        """A short description."""
        return f"{self.table.text} by {self.key.text}"

    @property
    def asks_server(self) -> bool:
        """Whether rows come from a server, which may be unavailable."""
        return not isinstance(self.table, FileRef)

    @property
    def targets(self) -> frozenset[str]:
        """The fields of a record that it sets."""
        return frozenset((self.name,)) if self.name else frozenset(self.fields.values())


def read_lookup(document: Document, value: Any, path: Path_) -> Lookup | None:
    """Read what a stage looks up, reporting mistakes in names; others are reported with its settings."""
    try:
        settings = LookupSettings.model_validate(value)
    except (ValueError, ValidationError):
        return None
    key = read_key(document, settings.key, (*path, "key"))
    fields = _fields(document, settings.fields, path)
    if re.search(r"(?<!\\)\.", settings.as_):
        what = f"{settings.as_!r} is not the name of a top-level field"
        document.report((*path, "as"), what, "write `\\.` for a dot in a name")
    has_columns = settings.table.file or settings.table.postgres
    by = _by(document, settings.by, key, path) if has_columns else _no_by(document, value, path)
    if "cache" in value and settings.table.file:
        what = "a file is held whole and needs no cache"
        document.report((*path, "cache"), what, "remove `cache`", key=True)
    if key is None or document.failed(path):
        return None
    table = _table(document, settings.table, key, value["table"], (*path, "table"))
    if table is None or document.failed(path):
        return None
    name, cache = settings.as_.replace(r"\.", "."), CachePolicy(settings.cache.size, settings.cache.ttl)
    return Lookup(table, key, by, name, fields, settings.missing, cache)


def _no_by(document: Document, value: Mapping[str, Any], path: Path_) -> tuple[str, ...]:
    """Report `by` for a table that has a place for the key."""
    if "by" in value:
        what = "`by` names a column of a file; here the key is part of the table's own text"
        document.report((*path, "by"), what, "remove `by`", key=True)
    return ()


def _by(document: Document, given: Any, key: RecordKey | None, path: Path_) -> tuple[str, ...]:
    """Read the columns that hold the key."""
    columns = [given] if isinstance(given, str) else given
    at = (*path, "by")
    if key is None:
        return ()
    if columns is None:
        if key.expression is not None:
            what = f"the key is an expression, `{key.text}`, so it names no column of the table"
            document.report((*path, "key"), what, "add `by: COLUMN`; a field's name is letters, digits and _")
        return key.names
    if not isinstance(columns, list) or not columns or not all(isinstance(one, str) for one in columns):
        document.report(at, f"must be a column or a list of columns, not {describe(given)}", "write `by: id`")
        return ()
    wanted = len(key.fields) or 1
    if len(columns) != wanted:
        parts = "1 part" if wanted == 1 else f"{wanted} parts"
        columns_ = "1 column" if len(columns) == 1 else f"{len(columns)} columns"
        document.report(at, f"the key has {parts} and `by` names {columns_}", "name a column for each part")
    return tuple(columns)


def _fields(document: Document, given: Any, path: Path_) -> dict[str, str]:
    """Read which columns are copied to which fields."""
    if given is None:
        return {}
    if isinstance(given, dict):
        names: dict[str, str] = {}
        for column, name in given.items():
            if name in names.values():
                what = f"two columns become the field {name!r}"
                document.report((*path, "fields", column), what, "choose another name")
            names[column] = name
        return names
    for at, column in enumerate(given):
        if column in given[:at]:
            document.report(
                (*path, "fields", at), f"column {column!r} appears twice", "remove one of the two"
            )
    return {column: column for column in given}


def _table(document: Document, table: Table, key: RecordKey, given: Any, path: Path_) -> TableRef | None:
    (kind,) = TABLE.whole(given)
    at = path if isinstance(given, str) else (*path, kind)
    short = isinstance(given, str) or isinstance(given[kind], str)
    if table.file is not None:
        return _file(document, table.file, at if short else (*at, "path"))
    if table.postgres is not None:
        return _postgres(document, table.postgres, key, at)
    if table.http is not None:
        return _http(document, table.http, key, at if short else (*at, "url"))
    assert table.redis is not None
    return _redis(document, table.redis, key, at if short else (*at, "key"))


def _redis(document: Document, table: RedisTable, key: RecordKey, path: Path_) -> RedisRef | None:
    template = _template(document, table.key, key, path)
    return None if template is None else RedisRef(template, table.url, table.value)


def _postgres(document: Document, table: PostgresTable, key: RecordKey, path: Path_) -> PostgresRef | None:
    if not installed("psycopg") and not document.operate:
        what = "PostgreSQL needs the package psycopg, which is not installed"
        document.report(path, what, install("postgres"), key=True)
        return None
    numbers = {int(number) for number in re.findall(r"\$(\d+)", table.query)}
    wanted = set(range(1, 1 + max(len(key.fields), 1)))
    at = (*path, "query")
    if numbers != wanted:
        shown = ", ".join(f"${number}" for number in sorted(wanted))
        what = f"the query must take {shown}, an array for each part of the key"
        document.report(at, what, "write `where id = any($1)`")
    elif not re.search(r"\b(any|unnest)\s*\(\s*\$1", table.query, re.IGNORECASE):
        what = "the query gets the keys of a whole batch at once: $1 is an array"
        document.report(at, what, "write `where id = any($1)`")
    elif not document.operate and (wrong := wrong_dsn(table.dsn)):
        document.report((*path, "dsn"), *wrong)
    return PostgresRef(table.dsn, table.query)


def _http(document: Document, table: HttpTable, key: RecordKey, path: Path_) -> HttpRef | None:
    if not installed("aiohttp") and not document.operate:
        what = "a lookup over HTTP needs the package aiohttp, which is not installed"
        document.report(path, what, install("http"), key=True)
        return None
    template = _template(document, table.url, key, path)
    if template is None:
        return None
    if wrong := _wrong_url(template, table.allow):
        what, _, fix = wrong.partition("; ")
        document.report(path, what, fix)
        return None
    return HttpRef(template, table.headers, table.concurrency, tuple(table.allow))


def _template(document: Document, text: str, key: RecordKey, path: Path_) -> KeyTemplate | None:
    try:
        return parse_template(text, key)
    except ValueError as exc:
        document.report_error(path, exc)
        return None


def _file(document: Document, table: FileTable, path: Path_) -> FileRef | None:
    suffix = table.path[table.path.rfind(".") :].lower() if "." in table.path else ""
    if suffix not in FORMATS:
        what = f"the name of {table.path!r} does not say how it is written"
        document.report(path, what, f"name it with {one_of(FORMATS)}")
        return None
    delimiter = "\t" if suffix == ".tsv" and table.delimiter == "," else table.delimiter
    csv_only = {"types": table.types, "na": table.na, "empty": table.empty}
    if FORMATS[suffix] == "jsonl":
        for name, setting in csv_only.items():
            if setting:
                what = f"`{name}` says how a csv file is read, and this is none"
                document.report((*path[:-1], name), what, f"remove `{name}`", key=True)
    return FileRef(table.path, table.types, table.na, table.empty == "keep", delimiter, table.max_rows)


_EXAMPLE = "https://HOST/{id}"


def _wrong_url(url: KeyTemplate, allow: Collection[str]) -> str:
    """Return what is wrong with an address, and how to correct it; empty if nothing is."""
    beginning = url.parts[0] if isinstance(url.parts[0], str) else ""
    wrong = wrong_address(beginning, allow, _EXAMPLE)
    if wrong.startswith("the address names no host") or (not wrong and beginning.count("/") < 3):
        return f"the key may not be in the host name; write {_EXAMPLE}"
    return wrong
