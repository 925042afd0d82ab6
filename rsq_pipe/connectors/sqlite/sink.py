"""Sink `sqlite`: rows of a table in one file, each record once, in one transaction with a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.file_endpoint import file_endpoint
from rsq_pipe.connectors.ledger.options import FileOptions
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.sqlite.database import SqliteDatabase, has_table, read_columns


class Options(FileOptions):
    """Settings of the `sqlite` sink: rows of a table in one file."""

    create: bool = Field(
        default=False,
        description="Create the table for the fields of the first record, if it does not exist: whole "
        "numbers, true and false are `integer`, numbers `real`, the rest `text`; `key` is its primary key.",
    )


def connect(options: Options, *, stage: str, root: Path, pipeline: str, ledger: str) -> LedgerSink:
    """Make the sink of a stage; nothing is opened yet."""
    database = SqliteDatabase(root / options.path, options, owner=(pipeline, ledger, options.table))
    return LedgerSink(database, stage=stage, target=options.shown, fresh=options.fresh)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the table as an endpoint."""
    return file_endpoint(options, root, has_table)


def table_columns(options: Options, *, root: Path, seconds: float) -> Sequence[Column] | None:
    """List the columns of the table; None if it does not exist."""
    file = root / options.path
    return read_columns(file, options.table, seconds) if file.exists() else None
