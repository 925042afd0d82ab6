"""What a postgres_cdc source lacks on its server is an error that says what to do."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.errors import SourceError
from tests.integration.connectors.postgres_cdc.cdc_place import Place, data
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD


def refused(place: Place, position: str = "", **settings: Any) -> str:
    with pytest.raises(SourceError) as error:
        place.read(position, **settings)
    assert PASSWORD not in str(error.value)
    return str(error.value)


def test_what_is_missing_or_anothers_is_an_error_that_says_what_to_do(place: Place) -> None:
    slot = f"stage 'read': postgres slot {place.slot}: "
    assert refused(place, publication="nope") == (
        f"{slot}there is no publication 'nope'; make it: create publication \"nope\" for table TABLE"
    )
    assert "does not hold public.other; add it: alter publication" in refused(place, tables=("other",))
    place.execute("create table TABLE_k (a int)")
    place.execute(f"alter publication {place.publication} add table TABLE_k")
    assert "has no primary key by which its rows could be read in order" in refused(place)
    place.execute("drop table TABLE_k; alter table TABLE add op text")
    place.execute("insert into TABLE values (1, 1, 'x')")
    assert "has a column 'op'" in refused(place)
    assert data(place.read(prefix="_")[0])[0]["_op"] == "snapshot"


def test_a_slot_of_another_kind_is_refused(place: Place) -> None:
    place.execute(f"select pg_create_logical_replication_slot('{place.slot}', 'test_decoding')")

    assert "is for plugin 'test_decoding', and not for pgoutput; name another" in refused(place)


def test_a_slot_that_is_gone_or_was_moved_on_or_is_in_use_is_refused(place: Place) -> None:
    _, position = place.read()
    place.execute("insert into TABLE values (1, 1)")
    place.execute(f"select pg_replication_slot_advance('{place.slot}', pg_current_wal_lsn())")
    assert "another reader has used it, or Redis was restored" in refused(place, position)
    place.execute(f"select pg_drop_replication_slot('{place.slot}')")
    assert "there is no slot" in refused(place, position)

    other = place.source(stage="other", until="never")
    next(chunks := other.read("", "", 10))
    next(chunks)
    threading.Thread(target=lambda: list(chunks), daemon=True).start()
    assert "is read by 'rsq-pipe p other' from 127.0.0.1" in refused(place, snapshot="never")
    other.close()  # type: ignore[attr-defined]


def test_a_user_without_the_right_is_told_how_to_get_it(place: Place) -> None:
    role = f"{place.table}_r"
    place.server.execute(f"create role {role} login password '{PASSWORD}'")
    dsn = place.server.dsn.replace("//rsq:", f"//{role}:")

    assert "alter role NAME replication" in refused(place, dsn=dsn)
    place.server.execute(f"alter role {role} replication")
    assert "permission denied for table" in refused(place, dsn=dsn) or place.read(dsn=dsn)


def test_a_server_that_keeps_no_log_of_changes_is_refused(postgres_binaries: Path, name: str) -> None:
    with PostgresServer(postgres_binaries, "wal_level=replica") as server:
        place = Place(server, name)
        said = refused(place)
        place.close()

    assert "wal_level is 'replica'; run `alter system set wal_level = logical`, and restart it" in said


def test_a_slot_whose_log_was_thrown_away_is_refused(postgres_binaries: Path, name: str) -> None:
    settings = ("wal_level=logical", "max_slot_wal_keep_size=1MB", "max_wal_size=32MB")
    with PostgresServer(postgres_binaries, *settings) as server:
        place = Place(server, name)
        _, position = place.read()
        server.execute("create table filler (n text)")
        for _ in range(6):
            server.execute("insert into filler select repeat('x', 500) from generate_series(1, 40000)")
            server.execute("select pg_switch_wal(); checkpoint")
        assert "has given slot" in refused(place, position)
        said = refused(place, position)
        place.close()

    assert f"drop it, select pg_drop_replication_slot('{place.slot}'), and start over" in said
