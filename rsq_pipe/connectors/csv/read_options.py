"""Settings of the csv source."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from rsq_pipe.connectors.csv.dialect import UTF8, Dialect, Encoding, is_wide
from rsq_pipe.connectors.csv.field_types import DateFormat
from rsq_pipe.connectors.csv.inference import EVERY, INFER, GivenType
from rsq_pipe.connectors.files.read_settings import (
    ChunkBytes,
    Final,
    Follow,
    MaxLine,
    Paths,
    Watch,
    check_endless,
)
from rsq_pipe.connectors.settings import Settings
from rsq_pipe.streams.unique_keys import repeated

INFER_ROWS = 1_000

TypesOption = Annotated[
    dict[str, GivenType],
    BeforeValidator(
        lambda value: {EVERY: value} if isinstance(value, str) else value,
        json_schema_input_type=dict[str, GivenType] | GivenType,
    ),
]


class Options(Settings):
    """Settings of the `csv` source: RFC 4180 with a header line, in UTF-8, unless they say otherwise."""

    path: Paths
    types: TypesOption = Field(
        default={},
        description="Column -> type; `*` is every column that is not named, and `infer` finds the type from "
        "the first rows: `types: infer`, or `{zip: str, '*': infer}`. Other columns hold text. Dates (ISO "
        "8601) and decimals are checked and stay text. If a field does not have its type, its record becomes "
        "a dead letter.",
    )
    infer_rows: int = Field(
        default=INFER_ROWS,
        gt=0,
        le=100_000,
        description="How many rows of each file types are inferred from; the result is logged and stored, "
        "and not inferred again as the file grows.",
    )
    formats: dict[str, DateFormat] = Field(
        default={},
        description="Column -> how its dates are written: `{day: '%d.%m.%Y'}`; records get ISO 8601.",
    )
    decimal: Literal[".", ","] = Field(
        default=".", description="The character before the decimals in `float` and `decimal` columns."
    )
    na: tuple[str, ...] = Field(default=(), description="Fields that mean null, in every column: `[NA]`.")
    empty: Literal["keep"] | None = Field(
        default=None,
        description="What an empty field is: null, or with `keep` an empty string in text columns.",
    )
    delimiter: str = Field(
        default=",",
        pattern=r'^[^"\r\n]$',
        description='The character between two fields: `";"`, or `"\\t"` for tabs.',
    )
    quote: str = Field(
        default='"',
        pattern=r"^[^\r\n]?$",
        description="The character around fields that hold a delimiter or a newline; empty if there is none "
        "and quotes are part of the fields.",
    )
    encoding: Encoding = UTF8
    header: bool = Field(
        default=True, description="Whether the first row names the columns; if not, `columns` does."
    )
    columns: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="The columns of files without a header."
    )
    skip: int = Field(default=0, ge=0, description="How many lines to skip before the header or first row.")
    comment: str = Field(
        default="",
        pattern=r"^[^\r\n]*$",
        max_length=10,
        description="Lines that begin with this are skipped: `#`.",
    )
    trim: bool = Field(
        default=False, description="Whether white space around fields is removed, even inside quotes."
    )
    final: Final = None
    follow: Follow = False
    watch: Watch = False
    max_line: MaxLine = Field(default="1MiB", validate_default=True)
    chunk_bytes: ChunkBytes = Field(default="1MiB", validate_default=True)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.header and self.columns:
            raise ValueError("`columns` names those of files without a header; set `header: false`")
        if not self.header and not self.columns:
            raise ValueError("files without a header need `columns`; name them: `columns: [id, name]`")
        if len(frozenset(self.columns)) < len(self.columns):
            raise ValueError(f"`columns` names {repeated(self.columns)!r} twice")
        if self.delimiter in (self.quote, self.comment[:1]) or self.quote == self.comment[:1] != "":
            raise ValueError("one character cannot be two of `delimiter`, `quote` and `comment`")
        if self.path == ("-",) and is_wide(self.encoding):
            raise ValueError(f"standard input is not read as {self.encoding}; pass it through `iconv`")
        check_endless(self.path, follow=self.follow, watch=self.watch)
        if self.follow and is_wide(self.encoding):
            raise ValueError(f"a file in {self.encoding} is not followed; `watch: true` finds new ones")
        if self.final is False and is_wide(self.encoding):
            raise ValueError(
                f"`final: false` cannot be kept to in {self.encoding}; a file's end is final there"
            )
        if self.path == ("-",) and INFER in self.types.values():
            raise ValueError("types of standard input are not inferred, it is read once; give them")
        return self

    @property
    def dialect(self) -> Dialect:
        """How the files are written."""
        return Dialect(self.delimiter, self.quote, self.encoding, self.skip, self.comment, self.trim)
