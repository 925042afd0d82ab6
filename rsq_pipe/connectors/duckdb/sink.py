"""Sink `duckdb`: rows of a table in one DuckDB file, each record once, in one transaction with a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.file_endpoint import file_endpoint
from rsq_pipe.connectors.ledger.options import FileOptions
from rsq_pipe.connectors.ledger.sink import LedgerSink

__all__ = ["Options", "connect", "endpoint", "table_columns"]


class Options(FileOptions):
    """Settings of the `duckdb` sink: rows of a table in one file; extra `duckdb`."""

    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers are `bigint`, numbers `double`, true and false `boolean`, lists and objects `json`, the "
        "rest `varchar`; `key` is its primary key.",
    )


def connect(options: Options, *, stage: str, root: Path, pipeline: str, ledger: str) -> LedgerSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.duckdb.database import DuckDatabase  # noqa: PLC0415  an extra

    database = DuckDatabase(root / options.path, options, owner=(pipeline, ledger, options.table))
    return LedgerSink(database, stage=stage, target=options.shown, fresh=options.fresh)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the table as an endpoint."""

    def has_table(file: Path, table: str, _: float) -> bool:
        from rsq_pipe.connectors.duckdb.database import has_table  # noqa: PLC0415  an extra

        return has_table(file, table)

    return file_endpoint(options, root, has_table)


def table_columns(options: Options, *, root: Path, seconds: float) -> Sequence[Column] | None:  # noqa: ARG001  every connector's signature
    """List the columns of the table; None if it does not exist."""
    from rsq_pipe.connectors.duckdb.database import read_columns  # noqa: PLC0415  an extra

    file = root / options.path
    return read_columns(file, options.table) if file.exists() else None
