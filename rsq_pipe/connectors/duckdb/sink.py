"""Sink `duckdb`: rows of a table in one DuckDB file, each record once, in one transaction with a ledger."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from rsq_pipe.connectors.endpoint import Endpoint, UnreachableError
from rsq_pipe.connectors.files.endpoints import check_writable
from rsq_pipe.connectors.ledger.options import FileOptions
from rsq_pipe.connectors.ledger.sink import LedgerSink

__all__ = ["Options", "connect", "endpoint"]


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
    file = root / options.path

    def reach(_: float) -> str:
        from rsq_pipe.connectors.duckdb.database import has_table  # noqa: PLC0415  an extra

        check_writable(file)
        if file.exists() and has_table(file, options.table):
            return ""
        if not options.create:
            raise UnreachableError(f"there is no table {options.table}; make it, or set `create: true`")
        return "the table will be created"

    return Endpoint(options.shown, reach)
