"""A database that cannot be reached is reported together with what is written or read there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.outage import report_outages_to
from rsq_pipe.connectors.sink import Sink, TargetUnavailableError
from rsq_pipe.connectors.table import connector
from tests.support.ports import free_port


class _ReportedError(Exception):
    pass


@pytest.fixture
def closed() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize(
    ("kind", "dsn"),
    [("postgres", "postgresql://rsq@127.0.0.1:{port}/shop"), ("mysql", "mysql://rsq@127.0.0.1:{port}/shop")],
)
def test_a_sink_whose_database_cannot_be_reached_names_the_table(
    kind: str, dsn: str, tmp_path: Path, closed: ExitStack
) -> None:
    found = connector("sink", kind)
    options = found.options(dsn=dsn.format(port=free_port()), table="orders")
    sink: Sink = found.made(options, pipeline="p", stage="out", root=tmp_path)
    closed.callback(sink.close)

    with pytest.raises(TargetUnavailableError, match=f"^{kind} table orders: .*refused"):
        sink.open(None)


@pytest.mark.parametrize(
    ("kind", "named", "settings"),
    [
        ("postgres", "postgres table orders: ", {"table": "orders", "key": ["id"]}),
        ("postgres_cdc", "postgres slot orders: ", {"publication": "orders", "slot": "orders"}),
    ],
)
def test_a_source_whose_database_cannot_be_reached_names_what_it_reads(
    kind: str, named: str, settings: dict[str, Any], tmp_path: Path, closed: ExitStack
) -> None:
    found = connector("source", kind)
    options = found.options(dsn=f"postgresql://rsq@127.0.0.1:{free_port()}/shop", **settings)
    source = found.made(options, pipeline="p", stage="read", root=tmp_path)
    reported: list[str] = []

    def report(why: str) -> None:
        reported.append(why)
        raise _ReportedError  # ends a read that would go on trying

    report_outages_to(report)
    closed.callback(report_outages_to, lambda _: None)

    with pytest.raises(_ReportedError):
        next(iter(source.read("only", "", 10)))

    assert reported[0].startswith(named), reported
