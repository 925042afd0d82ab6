"""LookupStage: the settings of a stage that looks something up for each record by a key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from rsq_pipe.connectors.csv.field_types import FieldType
from rsq_pipe.spec.fields import ServerUrl
from rsq_pipe.spec.models import Output, ReadingStage, Settings
from rsq_pipe.spec.record_key import KeyText
from rsq_pipe.spec.short_form import ShortForm
from rsq_pipe.spec.validation import describe
from rsq_pipe.units import Duration, Many, OneOrMore

MAX_ROWS = 1_000_000


class FileTable(Settings):
    """A file with a row for each key; its path alone stands for `path`."""

    path: str = Field(
        description="The file, found from the project root: `.csv` with a header line, or `.jsonl` with one "
        "object per line."
    )
    types: dict[str, FieldType] = Field(
        default={}, description="Column -> type, as of the source `csv`; a column not named here holds text."
    )
    na: tuple[str, ...] = Field(default=(), description="Fields of a csv file that mean null: `[NA]`.")
    empty: Literal["keep"] | None = Field(
        default=None,
        description="What an empty field of a csv file is: null, or with `keep` an empty string in text "
        "columns.",
    )
    delimiter: str = Field(
        default=",",
        pattern=r'^[^"\r\n]$',
        description='The character between two fields of a csv file: `";"`, or `"\\t"` for tabs.',
    )
    max_rows: OneOrMore = Field(
        default=MAX_ROWS,
        description="Rows that are held in memory, at most; a file with more is refused.",
    )


FILE = ShortForm("path", str, {"type": "string"}, "a path, or a mapping; write {file: customers.csv}")


class RedisTable(Settings):
    """A hash, or a JSON object as text, under a Redis key; the key alone stands for `key`."""

    key: str = Field(
        description="The Redis key, with `{name}` in place of the record's key; `{{` is a brace."
    )
    url: ServerUrl = Field(
        default="",
        description="A server other than the pipeline's own; written as the pipeline's `redis: url`.",
    )
    value: Literal["hash", "json"] | None = Field(
        default=None, description="The type of its value; left out: it is detected."
    )


REDIS = ShortForm("key", str, {"type": "string"}, 'a key, or a mapping; write {redis: "customers:{id}"}')


class PostgresTable(Settings):
    """A query that gives the rows of many keys at once; extra `postgres`."""

    dsn: str = Field(
        default="",
        description="The server, as libpq reads it: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE`, or "
        "`host=... user=...`; what is left out comes from the PG* environment variables.",
    )
    query: str = Field(
        description="A `select` with `= any($1)` for the keys; `$2` and so on for a key of several fields. "
        "Its result must include the columns of `by`."
    )


class HttpTable(Settings):
    """A web service that answers GET with a JSON object; its address alone stands for `url`; extra `http`."""

    url: str = Field(
        description="The address, with `{name}` in its path or query in place of the record's key."
    )
    headers: dict[str, str] = Field(
        default={}, description='What is sent with each request: `{Authorization: "Bearer ${secret:TOKEN}"}`.'
    )
    concurrency: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="Requests in flight at once, in each worker."
    )
    allow: list[str] = Field(
        default=[],
        description="Hosts that may be asked although they resolve to a link-local or metadata address.",
    )


HTTP = ShortForm(
    "url", str, {"type": "string"}, 'an address, or a mapping; write {http: "https://HOST/{id}"}'
)


class Table(Settings):
    """Where rows are found; a path alone stands for `{file: PATH}`."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [kind]} for kind in ("file", "redis", "postgres", "http")]},
    )

    file: Annotated[FileTable | None, FILE] = Field(
        default=None, description="A file, held in memory and read again when it has changed."
    )
    redis: Annotated[RedisTable | None, REDIS] = Field(
        default=None, description="A Redis key for each row, read a batch at a time."
    )
    postgres: PostgresTable | None = Field(
        default=None, description="The rows of a query, read a batch at a time."
    )
    http: Annotated[HttpTable | None, HTTP] = Field(
        default=None, description="A web service, asked once for each key."
    )

    @model_validator(mode="after")
    def _one(self) -> Table:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        kinds = ", ".join(f"`{name}`" for name in type(self).model_fields)
        if not given:
            raise ValueError(f"it names no table; write a path, or one of {kinds}")
        if len(given) > 1:
            raise ValueError(f"it has {' and '.join(given)}; keep one, or use two stages")
        return self


TABLE = ShortForm("file", str, {"type": "string"}, "a path, or a mapping; write `table: customers.csv`")


class Cache(Settings):
    """How long answers of a server are kept in memory, unknown keys included."""

    size: Many = Field(default=100_000, description="How many keys are kept, the latest ones; 0 for none.")
    ttl: Duration = Field(default=60.0, description="How long an answer is used.")


def _missing(value: object) -> object:
    return "null" if value is None else value


def _columns(value: object) -> object:
    """Accept a list of columns, or a mapping of columns to fields."""
    if isinstance(value, list | dict) and value:
        names = [*value, *value.values()] if isinstance(value, dict) else value
        wrong = next((name for name in names if not isinstance(name, str) or not name), None)
        if all(isinstance(name, str) and name for name in names):
            return value
        raise ValueError(f"a column or field must be text, not {describe(wrong)}; write [name, country]")
    raise ValueError(
        f"must be a list of columns, or a mapping of columns to fields, not {describe(value)}; "
        "write [name, country]"
    )


class Lookup(Settings):
    """What is looked up for a record, and what it gets from that."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["as"]}, {"required": ["fields"]}]},
    )

    table: Annotated[Table, TABLE] = Field(description="Where rows are found.")
    key: KeyText = Field(
        description="What a record is looked up by: a field (`customer.id`), a list of fields, or an "
        "expression."
    )
    by: Annotated[
        Any,
        WithJsonSchema(
            {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
        ),
    ] = Field(
        default=None,
        description="The table's column or columns that hold the key; left out: those named like the key's "
        "fields.",
    )
    as_: str = Field(
        default="",
        min_length=1,
        alias="as",
        description="The name under which a record gets the whole row, as a mapping.",
    )
    fields: Annotated[
        Any,
        BeforeValidator(_columns),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
                    {
                        "type": "object",
                        "additionalProperties": {"type": "string", "minLength": 1},
                        "minProperties": 1,
                    },
                ]
            }
        ),
    ] = Field(
        default=None,
        description="The columns that a record gets as single fields; as a mapping: column -> field.",
    )
    missing: Annotated[
        Literal["null", "reject", "drop"],
        BeforeValidator(_missing),
        WithJsonSchema({"anyOf": [{"enum": ["null", "reject", "drop"]}, {"type": "null"}]}),
    ] = Field(
        default="null",
        description="What becomes of a record whose key is in no row: it goes on with null, becomes a dead "
        "letter, or is dropped and counted.",
    )
    cache: Cache = Field(
        default=Cache(), description="How long answers of a server are kept; a file is held whole."
    )

    @model_validator(mode="after")
    def _one(self) -> Lookup:
        if bool(self.as_) == (self.fields is not None):
            what = "it has `as` and `fields`; keep one" if self.as_ else "it does not say what a record gets"
            raise ValueError(what if self.as_ else f"{what}; write `as: NAME` or `fields: [COLUMN]`")
        return self


class LookupStage(ReadingStage):
    """Give each record what a table holds for its key; count the keys that are in no row."""

    lookup: Lookup = Field(description="The table, the key, and what a record gets.")
    to: Output = Field(default=None, description="`{stream: NAME}`: publish the output under its own name.")
