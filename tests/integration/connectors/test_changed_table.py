"""A table that is altered while its sink is open: what does not fit is written as it is now."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.ledger.sink import LedgerSink
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.mariadb import MariadbServer
from tests.support.postgres import PostgresServer


class Table(Struct, frozen=True):
    """A table to write to, the settings that lead there, and a way to run statements beside the sink."""

    kind: str
    options: dict[str, Any]
    run: Callable[[str], Any]


@pytest.fixture(params=["postgres", "mysql", "sqlite"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Table:
    name = f"changed_{os.urandom(6).hex()}"
    if request.param == "sqlite":
        path = tmp_path / "database.sqlite"

        def run(sql: str) -> list[Any]:
            with closing(sqlite3.connect(path)) as connection, connection:
                return connection.execute(sql).fetchall()

        made = Table("sqlite", {"path": str(path), "table": name}, run)
    else:
        kind: str = request.param
        server: PostgresServer | MariadbServer = request.getfixturevalue(
            {"postgres": "postgres", "mysql": "mariadb"}[kind]
        )
        made = Table(kind, {"dsn": server.dsn, "table": name, "ledger": f"{name}_ledger"}, server.execute)
    made.run(f"create table {name} (id int primary key, total decimal(4, 1))")
    return made


@pytest.fixture
def opened(table: Table, tmp_path: Path) -> Iterator[Callable[..., LedgerSink]]:
    sinks: list[LedgerSink] = []

    def open_one(**settings: Any) -> LedgerSink:
        found = connector("sink", table.kind)
        sink = found.made(
            found.options(**table.options, **settings), pipeline="p", stage="out", root=tmp_path
        )
        assert isinstance(sink, LedgerSink)
        sinks.append(sink)
        if isinstance(sink, SharedLedgerSink):
            sink.take(0, {})
        sink.open(None)
        return sink

    yield open_one
    for sink in sinks:
        sink.close()


def batch(*records: dict[str, Any]) -> Batch:
    return Batch(list(records), [f"r:{record['id']}" for record in records])


@pytest.fixture(autouse=True)
def _asks_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rsq_pipe.connectors.ledger.sink.ASK_EVERY", 0)


MODES = [{}, {"mode": "upsert", "key": ["id"]}]


@pytest.mark.parametrize("settings", MODES, ids=["append", "upsert"])
def test_a_column_that_was_added_is_written_without_a_new_start(
    table: Table, opened: Callable[..., LedgerSink], settings: dict[str, Any]
) -> None:
    sink = opened(**settings)
    name = table.options["table"]
    sink.write(batch({"id": 1, "total": 2}))
    refused = sink.write(batch({"id": 2, "total": 3, "note": "hi"})).failures
    assert "no column for 'note'" in str(refused[0])

    table.run(f"alter table {name} add note varchar(9)")

    assert not sink.write(batch({"id": 3, "total": 4, "note": "ho"})).failures
    rows = table.run(f"select id, note from {name} order by id")
    assert [tuple(row) for row in rows] == [(1, None), (3, "ho")]


@pytest.mark.parametrize("table", ["postgres", "mysql"], indirect=True)
@pytest.mark.parametrize("settings", MODES, ids=["append", "upsert"])
def test_a_column_of_another_type_takes_what_it_takes_now(
    table: Table, opened: Callable[..., LedgerSink], settings: dict[str, Any]
) -> None:
    sink = opened(**settings)
    name = table.options["table"]
    assert sink.write(batch({"id": 1, "total": 123456})).failures

    change = "alter total type" if table.kind == "postgres" else "modify total"
    table.run(f"alter table {name} {change} decimal(20, 1)")

    assert not sink.write(batch({"id": 2, "total": 123456})).failures
    assert [row[0] for row in table.run(f"select id from {name}")] == [2]


@pytest.mark.parametrize("table", ["postgres"], indirect=True)
@pytest.mark.parametrize("settings", MODES, ids=["append", "upsert"])
def test_what_was_handed_out_before_is_written_to_the_table_as_it_is_now(
    table: Table, opened: Callable[..., LedgerSink], settings: dict[str, Any]
) -> None:
    if settings:
        settings = {**settings, "version": "total"}
    sink = opened(writers=2, **settings)
    name = table.options["table"]
    table.run(f"alter table {name} add note text, alter total type decimal(20, 1)")
    assert isinstance(sink, SharedLedgerSink)

    assert not sink.write_again(batch({"id": 1, "total": 123456, "note": "hi"})).failures
    assert not sink.write_again(batch({"id": 2, "total": 223456, "note": "hi"})).failures

    assert [row[0] for row in table.run(f"select id from {name} order by id")] == [1, 2]


def test_a_column_that_was_dropped_is_not_written_any_more(
    table: Table, opened: Callable[..., LedgerSink]
) -> None:
    sink = opened()
    name = table.options["table"]
    sink.write(batch({"id": 1, "total": 2}))

    table.run(f"alter table {name} drop total")

    failures = sink.write(batch({"id": 2, "total": 3}, {"id": 3})).failures
    assert {place: "no column for 'total'" in str(exc) for place, exc in failures.items()} == {0: True}
    assert [row[0] for row in table.run(f"select id from {name} order by id")] == [1, 3]


@pytest.mark.parametrize("table", ["postgres", "sqlite"], indirect=True)
def test_a_table_that_was_deleted_is_said_to_be_gone_and_what_to_do(
    table: Table, opened: Callable[..., LedgerSink]
) -> None:
    sink = opened()
    position = sink.write(batch({"id": 1, "total": 2})).position
    ledger = table.options.get("ledger", "rsq_pipe_ledger")
    table.run(f"delete from {table.options['table']}")
    table.run(f"delete from {ledger}")

    with pytest.raises(SinkError, match=r"wrote are not in it: it was deleted or replaced.* --fresh"):
        sink.open(position)


@pytest.mark.parametrize("table", ["postgres", "sqlite"], indirect=True)
def test_a_server_that_has_not_seen_the_table_before_says_so(
    table: Table, opened: Callable[..., LedgerSink]
) -> None:
    sink = opened()
    sink.write(batch({"id": 1, "total": 2}))

    with pytest.raises(SinkError, match=r"the server's data, such as \.rsq/, was deleted"):
        sink.open(None)


def test_batches_with_records_that_do_not_fit_do_not_each_ask_for_the_columns(
    table: Table, opened: Callable[..., LedgerSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = opened()
    asked: list[bool] = []
    changed = sink._database.changed

    def ask() -> bool:
        asked.append(True)
        return changed()

    monkeypatch.setattr(sink._database, "changed", ask)
    monkeypatch.setattr("rsq_pipe.connectors.ledger.sink.ASK_EVERY", 3600.0)

    for number in range(5):
        assert sink.write(batch({"id": number, "total": 2, "note": "hi"})).failures

    assert len(asked) == 1
    table.run(f"alter table {table.options['table']} add note varchar(9)")
    monkeypatch.setattr("rsq_pipe.connectors.ledger.sink.ASK_EVERY", 0)
    assert not sink.write(batch({"id": 7, "total": 2, "note": "hi"})).failures
