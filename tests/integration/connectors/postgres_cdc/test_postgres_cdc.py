"""The postgres_cdc source tells each change once; rows and changes fit together wherever it is cut off."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from rsq_pipe.connectors.postgres_cdc.reading import Reading
from rsq_pipe.connectors.postgres_cdc.snapshot_filter import SnapshotFilter
from rsq_pipe.connectors.postgres_cdc.source import Options, endpoint
from rsq_pipe.connectors.source import Arrival, Chunk
from rsq_pipe.errors import SourceError
from tests.integration.connectors.postgres_cdc.cdc_place import Place, data, stored
from tests.support.history import History, Writers
from tests.support.signals import eventually


def test_rows_come_first_and_then_each_change_in_the_order_of_the_commits(place: Place) -> None:
    place.execute("insert into TABLE values (1, 10), (2, 20)")
    first, position = place.read()
    with psycopg.connect(place.server.dsn) as late:
        late.execute(f"insert into {place.table} values (3, 0)".encode())
        place.execute("update TABLE set v = 11 where id = 1")
        second, position = place.read(position)
        late.commit()
    place.execute("delete from TABLE where id = 2; update TABLE set id = 9 where id = 1")
    third, position = place.read(position)
    fourth, _ = place.read(position)

    told = [(one["op"], one["id"], one.get("v"), one.get("old")) for one in data(first + second + third)]
    assert told == [
        ("snapshot", 1, 10, None),
        ("snapshot", 2, 20, None),
        ("update", 1, 11, None),
        ("insert", 3, 0, None),
        ("delete", 2, None, None),
        ("update", 9, 11, {"id": 1}),
    ]
    assert fourth == []
    assert {one["table"] for one in data(first + third)} == {f"public.{place.table}"}
    times = [one["commit_time"] for one in data(first + second + third)]
    assert times[:2] == [None, None]
    assert times[2:] == sorted(times[2:])
    lsns = [one["lsn"] for one in data(first + second + third)]
    assert lsns == sorted(lsns)
    changes = [one["change"] for one in data(first + second + third)]
    assert changes[2:] == sorted(set(changes[2:]))
    assert changes[0] == changes[1] < changes[2]
    assert [one.offset for one in third[1:]] == [f"{lsns[-1]}.00000000", f"{lsns[-1]}.00000001"]


def test_values_have_the_types_of_their_columns_in_rows_and_in_changes(place: Place) -> None:
    name = place.table
    place.server.execute(
        f"create type {name}_mood as enum ('glad'); create domain {name}_small as int;"
        f" create domain {name}_many as int[];"
        f" alter table {name} add n numeric, add f real, add ok bool, add at timestamptz, add day date,"
        f" add plain timestamp, add tags text[], add grid int[], add doc jsonb, add docs json[], add u uuid,"
        f" add raw bytea, add mood {name}_mood, add small {name}_small, add many {name}_many,"
        f" add moods {name}_mood[], add pad char(3), add nums numeric[]"
    )
    values = (
        "12.50, 'NaN', true, '2026-11-27 10:00:00.5+02', '2026-11-27', '2026-11-27 10:00', "
        """array['a', 'b "c"\\d', null, 'NULL', ''], '{{1,2},{3,4}}', '{"a": [1, 2.5]}', """
        """array['{"x": 1}'::json], '00000000-0000-0000-0000-000000000001', '\\xdead', 'glad', 7, '{1,2}',"""
        " '{glad}', 'a', '{1.5,NaN}'"
    )
    place.execute(f"insert into TABLE values (1, 1, {values})")
    first, position = place.read()
    place.execute(f"insert into TABLE values (2, 1, {values})")
    second, _ = place.read(position)

    wanted = {
        "v": 1,
        "n": 12.5,
        "f": "NaN",
        "ok": True,
        "at": "2026-11-27T08:00:00.5+00:00",
        "day": "2026-11-27",
        "plain": "2026-11-27T10:00:00",
        "tags": ["a", 'b "c"\\d', None, "NULL", ""],
        "grid": [[1, 2], [3, 4]],
        "doc": {"a": [1, 2.5]},
        "docs": [{"x": 1}],
        "raw": "\\xdead",
        "u": "00000000-0000-0000-0000-000000000001",
        "mood": "glad",
        "small": 7,
        "many": [1, 2],
        "moods": ["glad"],
        "pad": "a  ",
        "nums": [1.5, "NaN"],
    }
    for record in (*data(first), *data(second)):
        assert {key: record[key] for key in wanted} == wanted
    plain = place.execute("select to_jsonb(t) - '{id,v,at,f,nums}'::text[] from TABLE t")[0][0]
    assert plain == {key: value for key, value in wanted.items() if key not in ("v", "at", "f", "nums")}


def test_long_values_that_an_update_did_not_touch_are_named_or_taken_from_the_row_as_it_was(
    place: Place,
) -> None:
    place.execute("alter table TABLE add long text; alter table TABLE alter long set storage external")
    place.execute("insert into TABLE values (1, 0, repeat('x', 9000)); update TABLE set v = 1")
    place.execute("alter table TABLE replica identity full; update TABLE set v = 2; delete from TABLE")
    _, position = place.read(snapshot="never")
    place.execute("alter table TABLE replica identity default")
    place.execute("insert into TABLE values (1, 0, repeat('x', 9000))")
    place.execute("update TABLE set v = 1; alter table TABLE replica identity full")
    place.execute("update TABLE set v = 2; delete from TABLE")
    told = data(place.read(position)[0])

    insert, update, full, delete = told
    assert len(insert["long"]) == 9000
    assert "long" not in update
    assert update["unchanged"] == ["long"]
    assert full["long"] == insert["long"]
    assert "unchanged" not in full
    assert full["old"]["v"] == 1
    assert (delete["id"], delete["v"], delete["long"]) == (1, 2, insert["long"])


def test_a_new_column_a_renamed_table_and_a_truncate_are_followed(place: Place) -> None:
    _, position = place.read()
    place.execute("insert into TABLE values (1, 1); alter table TABLE add extra text default 'x'")
    place.execute(
        "insert into TABLE values (2, 2); alter table TABLE drop v; alter table TABLE rename to TABLE_b"
    )
    place.execute("insert into TABLE_b values (3, 'y'); truncate TABLE_b")

    told, _ = place.read(position)

    plain = [
        {k: v for k, v in one.items() if k not in ("change", "lsn", "commit_time")} for one in data(told)
    ]
    table = f"public.{place.table}"
    assert plain == [
        {"id": 1, "v": 1, "op": "insert", "table": table},
        {"id": 2, "v": 2, "extra": "x", "op": "insert", "table": table},
        {"id": 3, "extra": "y", "op": "insert", "table": f"{table}_b"},
        {"op": "truncate", "table": f"{table}_b"},
    ]


def test_tables_columns_and_rows_are_those_that_are_published_and_wanted(place: Place) -> None:
    other = f"{place.table}_other"
    place.server.execute(f"create table {other} (id int primary key, a int, secret text)")
    if place.server.execute("select current_setting('server_version_num')::int >= 150000") == [(True,)]:
        place.server.execute(
            f"alter publication {place.publication} add table {other} (id, a) where (id % 2 = 0)"
        )
    else:
        place.server.execute(f"alter publication {place.publication} add table {other}")
    fill = "insert into TABLE values ({0}, 0); insert into TABLE_other values ({0}, 5, 's'), ({1}, 5, 's')"
    place.execute(fill.format(2, 3))
    first, position = place.read(tables=(other,))
    place.execute(fill.format(4, 5))
    second, _ = place.read(position, tables=(other,))

    told = [{key: one.get(key) for key in ("id", "a", "secret", "table")} for one in data(first + second)]
    assert told == [
        {"id": 2, "a": 5, "secret": None, "table": f"public.{other}"},
        {"id": 4, "a": 5, "secret": None, "table": f"public.{other}"},
    ]


def test_it_goes_on_exactly_from_every_position_also_within_a_transaction(place: Place) -> None:
    place.execute("insert into TABLE select n, 0 from generate_series(1, 12) n")
    _, position = place.read(snapshot="never")
    place.execute("insert into TABLE select n, 1 from generate_series(13, 36) n")
    place.execute("update TABLE set v = 2 where id % 3 = 0; delete from TABLE where id > 30")
    chunks: list[Chunk] = list(place.source().read("", position, 5))
    whole = [one for chunk in chunks for one in chunk.arrivals]

    for stop in range(1, len(chunks) + 1):
        rest = [
            one for chunk in place.source().read("", chunks[stop - 1].position, 3) for one in chunk.arrivals
        ]
        assert [one for chunk in chunks[:stop] for one in chunk.arrivals] + rest == whole
    assert len({one.offset for one in whole}) == len(whole) == 42


def test_the_server_keeps_what_is_not_stored_and_lets_go_of_what_is(place: Place) -> None:
    _, position = place.read()
    place.execute("insert into TABLE select n, 0 from generate_series(1, 50) n")
    confirmed = "select confirmed_flush_lsn - '0/0' from pg_replication_slots where slot_name = %s"
    [(before,)] = place.server.execute(confirmed, place.slot)

    source = place.source()
    chunks = list(source.read("", position, 10))
    source.close()  # type: ignore[attr-defined]
    assert place.server.execute(confirmed, place.slot) == [(before,)]

    _, position = place.read(position)
    eventually(lambda: place.server.execute(confirmed, place.slot)[0][0] > before, what="the slot moves on")
    assert place.read(chunks[-1].position)[0] == []


def test_what_concerns_other_tables_moves_the_slot_on_too(place: Place) -> None:
    source = place.source(until="never")
    chunks = source.read("", "", 10)
    position = stored(next(chunks))
    place.server.execute(f"create table {place.table}_b as select generate_series(1, 1000) n")
    [(upto,)] = place.server.execute("select pg_current_wal_flush_lsn()")
    confirmed = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s"

    def has_moved() -> bool:
        nonlocal position
        position = stored(next(chunks))
        return bool(place.server.execute(confirmed, upto, place.slot)[0][0])

    eventually(has_moved, what="the slot moves on")
    source.close()  # type: ignore[attr-defined]
    place.execute("insert into TABLE values (1, 1)")
    assert [one["id"] for one in data(place.read(position)[0])] == [1]


def cut_off(place: Place, seed: int, *, cuts: int = 12) -> History:
    """Read beside writers, cut off again and again; only what was stored counts."""
    draw = random.Random(seed)
    place.execute("insert into TABLE select n, 0 from generate_series(1, 400) n")
    history, position = History(), ""
    writers = Writers(place.server.dsn, place.table, seed=seed)
    try:
        for _ in range(cuts):
            source = place.source(until="never")
            chunks = source.read("", position, draw.choice([7, 50]))
            for _ in range(draw.randint(1, 25)):
                chunk = next(chunks)
                if draw.random() < 0.1:  # read, and not stored
                    break
                history.apply(data(chunk.arrivals))
                position = stored(chunk)
            if draw.random() < 0.5:
                source.close()  # type: ignore[attr-defined]
            # Else the next one finds the slot still held, as after a kill.
    finally:
        writers.stop()
    assert writers.committed > 20
    rest, _ = place.read(position)
    history.apply(data(rest))
    return history


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_rows_and_changes_make_up_the_table_wherever_it_is_cut_off_beside_writers(
    place: Place, seed: int
) -> None:
    history = cut_off(place, seed)

    assert history.wrong == []
    assert history.rows == dict(place.execute("select id, v from TABLE"))


def no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SnapshotFilter, "left", lambda self, change, records: change)


def told_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Reading.read

    def reading(self: Reading, position: str, size: int) -> Iterator[Chunk]:
        for chunk in read(self, position, size):
            assert chunk.settled is not None
            chunk.settled(True)  # noqa: FBT003  the runner's own call
            if self._stream is not None:
                self._stream.ask()
            yield chunk

    monkeypatch.setattr(Reading, "read", reading)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("switch_off", [no_comparison, told_too_early])
def test_with_a_safety_switched_off_the_table_is_not_made_up(
    place: Place, monkeypatch: pytest.MonkeyPatch, switch_off: Callable[[pytest.MonkeyPatch], None]
) -> None:
    switch_off(monkeypatch)
    try:
        history = cut_off(place, 1)
    except SourceError:  # the slot is behind what was stored
        return

    assert history.wrong or history.rows != dict(place.execute("select id, v from TABLE"))


def test_a_paused_reader_that_wakes_up_after_another_took_over_moves_nothing(place: Place) -> None:
    _, position = place.read()
    place.execute("insert into TABLE values (1, 1), (2, 2)")
    paused = place.source(until="never")
    chunks = paused.read("", position, 1)
    asleep = next(chunk for chunk in chunks if len(chunk))

    told, position = place.read(position)
    place.execute("insert into TABLE values (3, 3)")
    assert asleep.settled is not None
    asleep.settled(False)  # noqa: FBT003  as the server answers, since another has moved the position
    paused.close()  # type: ignore[attr-defined]

    assert list(chunks) == []
    assert [one["id"] for one in data(told)] == [1, 2]
    assert [one["id"] for one in data(place.read(position)[0])] == [3]


def test_a_snapshot_waits_for_transactions_that_were_open_when_the_slot_was_made(place: Place) -> None:
    place.execute(f"select pg_create_logical_replication_slot('{place.slot}', 'pgoutput')")
    found: list[Arrival] = []
    with psycopg.connect(place.server.dsn) as late:
        late.execute(f"insert into {place.table} values (1, 1)".encode())
        chunks = place.source().read("", "", 10)
        assert [len(next(chunks)) for _ in range(3)] == [0, 0, 0]
        late.commit()
    for chunk in chunks:
        found += chunk.arrivals

    assert [(one["op"], one["id"]) for one in data(found)] == [("snapshot", 1)]


def test_a_look_at_it_makes_no_slot(place: Place) -> None:
    place.execute("insert into TABLE values (1, 1), (2, 2), (3, 3)")
    source: Any = place.source()
    options = Options(dsn=place.server.dsn, publication=place.publication, slot=place.slot)
    reach = endpoint(options, stage="read", root=Path()).reach

    assert reach(5) == "the slot will be created"
    assert [one["id"] for chunk in source.preview().read("", "", 2) for one in chunk.records] == [1, 2]
    assert place.server.execute("select 1 from pg_replication_slots where slot_name = %s", place.slot) == []
    place.read()
    assert reach(5) == ""


def test_a_value_that_cannot_be_read_takes_no_other_row_down(place: Place) -> None:
    place.execute("alter table TABLE add doc json")
    rows = """values ({}, 0, '{{"a": 1}}'), ({}, 0, '{{"a": 1e999}}'), ({}, 0, null)"""
    place.execute(f"insert into TABLE {rows.format(1, 2, 3)}")
    first, position = place.read()
    place.execute(f"insert into TABLE {rows.format(4, 5, 6)}")
    second, position = place.read(position)

    told = [(one.data["id"] if one.data else None, one.error) for one in first + second]
    assert [number for number, _ in told] == [1, None, 3, 4, None, 6]
    assert all("out of range" in error for number, error in told if number is None)
    assert second[1].raw == b'5\t0\t{"a": 1e999}'
    assert place.read(position)[0] == []
