"""Options: those of all sinks with a ledger, and those for databases in files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from rsq_pipe.connectors.column_names import ColumnNames
from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.files.path_names import check_path
from rsq_pipe.connectors.ledger.columns import Column, Columns, Extra, Fresh, Missing
from rsq_pipe.connectors.record_id import rid_option
from rsq_pipe.connectors.settings import Settings

LEDGER = "rsq_pipe_ledger"

MOST_WRITERS = 32
"""Maximum number of processes that write one table: each has a connection, and a row that others read."""


def writers_option() -> Any:
    """Declare `writers`, for a sink whose database lets several processes write a table."""
    return Field(
        default=1,
        ge=1,
        le=MOST_WRITERS,
        description="How many processes of the pipeline may write the table at the same time, still each "
        "record once; further ones stand by. With more than one, rows come in no fixed order, so that `mode: "
        "upsert` needs `version`.",
    )


class TableOptions(Settings):
    """Settings of a sink that writes the rows of a table."""

    mode: Literal["append", "upsert"] = Field(
        default="append",
        description="Insert each record; or insert it if no row has its `key`, and otherwise replace what "
        "that row holds.",
    )
    key: ColumnNames = Field(
        default=(),
        description="For `upsert`, the columns by which a row is found; the table needs a unique index on "
        "them. A record without a value for one of them fails.",
    )
    version: str | None = Field(
        default=None,
        description="For `upsert`, a column that says which of two is newer: a row is replaced only by one "
        "whose value is not lower. Without it, the one that comes last stays.",
    )
    columns: dict[str, str] | None = Field(
        default=None,
        min_length=1,
        description="Column -> field, if not all columns are written, or fields have other names. Default: "
        "each column from the field of the same name.",
    )
    extra: Extra = Field(
        default="error",
        description="What happens to a record with a field that has no column: it fails, or is written "
        "without it.",
    )
    missing: Missing = Field(
        default="error",
        description="What happens to a record without a column's field: it fails, or is written with null. A "
        "column that has a default, or auto-increments, gets its own value either way.",
    )
    fresh: Fresh = Field(
        default="error",
        description="What `--fresh` does if the table holds rows: end with an error, add to them, or delete "
        "all of them first.",
    )
    rid: bool = rid_option()

    def columns_of(self, table: Sequence[Column]) -> Columns:
        """
        Return which columns of a table get which fields.

        Raises:
            RefusedError: The settings name columns that the table does not have.
        """
        version = [self.version] if self.version else []
        try:
            return Columns(
                table,
                fields=self.columns,
                extra=self.extra,
                missing=self.missing,
                required=(*self.key, *version),
                rid=self.rid,
            )
        except ValueError as exc:
            raise RefusedError(f"{exc}; correct `columns`, `key` or `version`, or the table") from exc

    @model_validator(mode="after")
    def _check_key(self) -> Self:
        if self.mode == "upsert" and not self.key:
            raise ValueError("`mode: upsert` needs `key`; write `key: [COLUMN]`")
        if self.mode == "append" and (self.key or self.version):
            raise ValueError("`key` and `version` are for `mode: upsert`; set that, or leave them out")
        needed = (*self.key, *filter(None, [self.version]))
        lacking = [name for name in needed if self.columns is not None and name not in self.columns]
        if lacking:
            what = f"column {lacking[0]!r} of `key` or `version` is not among `columns`"
            raise ValueError(f"{what}; add it: `{lacking[0]}: FIELD`")
        return self


def check_writers(options: TableOptions, writers: int) -> None:
    """
    Check that a table may have so many writers.

    Raises:
        ValueError: It would be random which of two records with the same key stays.
    """
    if writers > 1 and options.mode == "upsert" and not options.version:
        raise ValueError(
            "with several `writers` an older record of a key may be written last; name the column that says "
            "which is newer in `version`, or set `writers: 1`"
        )


def _check_name(name: str) -> str:
    if "\0" in name:
        raise ValueError("a name cannot hold a NUL character")
    return name


class FileOptions(TableOptions):
    """Settings of a sink that writes the rows of a table in a file."""

    path: Annotated[str, Field(min_length=1), AfterValidator(check_path)] = Field(
        description="The file of the database, relative to the project root; created, with its folders, if "
        "it does not exist."
    )
    table: Annotated[str, Field(min_length=1), AfterValidator(_check_name)] = Field(description="The table.")
    create: bool = False

    @property
    def shown(self) -> str:
        """The target, as a user would name it."""
        return f"table {self.table} of {self.path}"
