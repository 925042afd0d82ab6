"""Sink `postgres`: rows of a table, each record once, in one transaction with a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.postgres.options import Options

__all__ = ["Options", "connect", "endpoint", "table_columns"]


def connect(
    options: Options,
    *,
    stage: str,
    root: Path,  # noqa: ARG001  no files
    pipeline: str,
    ledger: str,
) -> LedgerSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.postgres.database import PostgresDatabase  # noqa: PLC0415  an extra

    database = PostgresDatabase(options, pipeline=pipeline, stage=ledger)
    target = f"postgres table {options.table}"
    return SharedLedgerSink(
        database, writers=options.writers, stage=stage, target=target, fresh=options.fresh
    )


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the table as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.postgres.reach import reach_table  # noqa: PLC0415  an extra

        key, create = options.key, options.create
        return reach_table(options.dsn, options.table, "insert", seconds, create=create, key=key)

    return Endpoint(f"postgres table {options.table}", reach)


def table_columns(options: Options, *, root: Path, seconds: float) -> Sequence[Column] | None:  # noqa: ARG001  every connector's signature
    """List the columns of the table; None if it does not exist."""
    from rsq_pipe.connectors.postgres.reach import read_columns  # noqa: PLC0415  an extra

    return read_columns(options.dsn, options.table, seconds)
