"""Several writers of a table know what the others have written, whoever they were."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from rsq_pipe.connectors.ledger.shared_sink import SharedLedgerSink
from rsq_pipe.connectors.sink import FencedError, TargetBusyError, TargetUnavailableError
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch
from tests.support.postgres import PostgresServer
from tests.support.signals import eventually

Opened: TypeAlias = Callable[..., SharedLedgerSink]


@pytest.fixture
def table(postgres: PostgresServer) -> str:
    name = f"shared_{os.urandom(6).hex()}"
    postgres.execute(f"create table {name} (id int check (id <> 13))")
    return name


@pytest.fixture
def made(postgres: PostgresServer, table: str, tmp_path: Path) -> Iterator[Callable[..., SharedLedgerSink]]:
    sinks: list[SharedLedgerSink] = []

    def make(**settings: Any) -> SharedLedgerSink:
        found = connector("sink", "postgres")
        given = {"dsn": postgres.dsn, "table": table, "ledger": f"{table}_ledger", "writers": 3, **settings}
        sink = found.made(found.options(**given), pipeline="p", stage="out", root=tmp_path)
        assert isinstance(sink, SharedLedgerSink)
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.close()


@pytest.fixture
def opened(made: Callable[..., SharedLedgerSink]) -> Opened:
    def open_one(shard: int, position: str | None = None, **settings: Any) -> SharedLedgerSink:
        sink = made(**settings)
        sink.take(shard, {} if position is None else {shard: position})
        sink.open(position)
        return sink

    return open_one


def batch(*numbers: int) -> Batch:
    return Batch([{"id": number} for number in numbers], [f"read:{number}" for number in numbers])


@contextmanager
def in_copy(sink: SharedLedgerSink, table: str) -> Iterator[None]:
    """Be where a process stands that is paused while it sends a batch."""
    connection: psycopg.Connection[Any] = sink._database._connection._open  # type: ignore[attr-defined]
    command = f"copy {table} from stdin".encode()
    with suppress(psycopg.Error), connection.cursor() as cursor, cursor.copy(command):
        yield


def opens(sink: SharedLedgerSink) -> bool:
    """Try to open a sink once; return whether another's lock left it."""
    try:
        sink.open("0")
    except TargetUnavailableError:
        return False
    return True


def ids(postgres: PostgresServer, table: str) -> list[int]:
    return [row[0] for row in postgres.execute(f"select id from {table} order by id")]


def test_what_was_handed_out_before_is_written_but_for_what_another_has_committed(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    first, second = opened(0), opened(1)
    first.write(batch(1, 2))

    written = second.write_again(batch(2, 13, 3))

    assert ids(postgres, table) == [1, 2, 3]
    assert list(written.failures) == [1]  # 13, which the table does not take
    with pytest.raises(FencedError):
        first.write(batch(4))
    assert ids(postgres, table) == [1, 2, 3]


def test_an_id_that_was_taken_over_is_found_where_it_is_now(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    first, second = opened(0), opened(1)
    first.write(batch(1, 2))
    second.write_again(batch(2, 3))

    opened(2).write_again(batch(1, 2, 3, 4))
    opened(0, "0").write_again(batch(4, 3, 2, 1))

    assert ids(postgres, table) == [1, 2, 3, 4]


def test_the_row_of_a_shard_that_nobody_owns_any_more_is_minded_by_a_writer_that_is_alone(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    opened(2).write(batch(1, 2))

    alone = opened(0, writers=1)
    alone.write_again(batch(1))
    alone.write(batch(2, 3))  # as a file that was changed may bring it: a new entry with an old id

    assert ids(postgres, table) == [1, 2, 3]


def test_an_id_of_a_batch_that_was_settled_may_be_anothers(
    made: Callable[..., SharedLedgerSink], opened: Opened, postgres: PostgresServer, table: str
) -> None:
    position = opened(2).write(batch(1)).position
    sink = made()
    sink.take(0, {2: position})
    sink.open(None)

    sink.write(batch(1))

    assert ids(postgres, table) == [1, 1]


def test_of_two_who_start_over_the_one_who_comes_later_finds_it_done_or_does_it_again_whole(
    made: Callable[..., SharedLedgerSink], opened: Opened, postgres: PostgresServer, table: str
) -> None:
    opened(2).write(batch(1))
    first, second = made(fresh="empty"), made(fresh="empty")
    first.take(0, {})
    second.take(1, {})

    first.open(None, fresh=True)
    second.open(None, fresh=True)  # the first has not told the server yet that it is done
    with pytest.raises(FencedError):
        first.write(batch(2))
    first.open("0")
    first.write(batch(2))
    with pytest.raises(TargetBusyError):
        second.open(None, fresh=True, still=lambda: False)  # now it has
    second.open("0")
    second.write(batch(3))

    assert ids(postgres, table) == [2, 3]


def test_a_writer_that_is_paused_in_a_transaction_holds_others_up_once(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    first, second = opened(0), opened(1)
    # That one's session is ended: it cannot commit.
    with suppress(TargetUnavailableError), first._database.transaction():
        first._database.row()
        with pytest.raises(TargetUnavailableError, match="lock timeout"):
            second.write_again(batch(1))
        second.open("0")
        second.write_again(batch(1))

    assert ids(postgres, table) == [1]


def test_a_writer_that_is_paused_in_a_copy_while_it_fences_loses_its_session_to_one_that_opens(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    first, second = opened(0), opened(1, timeout="1s")

    with suppress(TargetUnavailableError), first._database.transaction():
        first._fence([])
        with in_copy(first, table):
            with pytest.raises(TargetUnavailableError, match="lock timeout"):
                second.write(batch(1))
            eventually(lambda: opens(second), timeout=10, what="the second has its row again")
            second.write(batch(1))

    assert ids(postgres, table) == [1]


def test_a_writer_that_is_only_slow_keeps_its_session_when_another_opens(
    opened: Opened, postgres: PostgresServer, table: str
) -> None:
    first, second = opened(0), opened(1)

    with first._database.transaction():
        first._fence([])
        assert not opens(second)
        first._database.put(first._database.rows(batch(1).records, ["read:1"])[0])

    assert ids(postgres, table) == [1]


def test_a_row_that_another_pipeline_of_the_name_has_opened_is_an_error_as_ever(opened: Opened) -> None:
    first = opened(1)
    opened(1, "0")

    with pytest.raises((SinkError, TargetUnavailableError)) as caught:
        first.write(batch(1))
    assert not isinstance(caught.value, FencedError)
