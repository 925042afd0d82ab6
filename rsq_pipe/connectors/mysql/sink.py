"""Sink `mysql`: rows of a table of MySQL or MariaDB, each record once, in one transaction with a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rsq_pipe.connectors.endpoint import Endpoint
from rsq_pipe.connectors.ledger.columns import Column
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.mysql.options import Options

__all__ = ["Options", "connect", "endpoint", "table_columns"]


def connect(options: Options, *, stage: str, root: Path, pipeline: str, ledger: str) -> LedgerSink:
    """Make the sink of a stage; nothing is opened yet."""
    from rsq_pipe.connectors.mysql.database import MysqlDatabase  # noqa: PLC0415  an extra

    database = MysqlDatabase(options, pipeline=pipeline, stage=ledger, root=root)
    return LedgerSink(database, stage=stage, target=f"mysql table {options.table}", fresh=options.fresh)


def endpoint(options: Options, *, stage: str, root: Path) -> Endpoint:  # noqa: ARG001  every connector's signature
    """Return the table as an endpoint."""

    def reach(seconds: float) -> str:
        from rsq_pipe.connectors.mysql.catalog import reach_table  # noqa: PLC0415  an extra

        return reach_table(options, root, seconds)

    return Endpoint(f"mysql table {options.table}", reach)


def table_columns(options: Options, *, root: Path, seconds: float) -> Sequence[Column] | None:
    """List the columns of the table; None if it does not exist."""
    from rsq_pipe.connectors.mysql.catalog import read_columns  # noqa: PLC0415  an extra

    return read_columns(options, root, seconds)
