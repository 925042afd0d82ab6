"""What `validate --connect` finds out of each connector, on real servers and files."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from rsq_pipe.ops.reach import Reached, reach
from rsq_pipe.spec.loader import load
from rsq_pipe.streams.client import StreamClient
from tests.support.postgres import PostgresServer
from tests.support.private_server import PASSWORD
from tests.support.server import StreamServer
from tests.support.web_service import WebService

_NOBODY = 65_534


def reached(
    folder: Path, stages: str, client: StreamClient | None = None, seconds: float = 10
) -> list[Reached]:
    (folder / "pyproject.toml").touch()
    (folder / "spec.yaml").write_text(f"version: 1\npipeline: reached\nstages:\n{stages}")
    return list(reach(load(folder / "spec.yaml"), client, seconds))


@pytest.fixture
def service() -> Iterator[WebService]:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != "Bearer right":
            return web.Response(status=401)
        return web.json_response([{"id": 1}])

    with WebService(answer) as running:
        yield running


def test_files_that_can_be_read_and_written_are_reached(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    told = reached(
        tmp_path,
        "  read: {source: {type: jsonl, path: '*.jsonl'}}\n"
        "  write: {sink: {type: csv, path: out/deep/a.csv, fields: [id]}}\n",
    )
    assert [str(one) for one in told] == [
        "redis: the embedded server: ok (`run` starts it)",
        "stages.read: file *.jsonl: ok (1 file)",
        "stages.write: file out/deep/a.csv: ok",
    ]
    assert not (tmp_path / "out").exists()


def test_a_missing_file_and_a_folder_in_the_way_are_told(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    told = reached(
        tmp_path,
        "  read: {source: {type: jsonl, path: 'in/*.jsonl'}}\n"
        "  write: {sink: {type: jsonl, path: out/a.jsonl}}\n",
    )
    assert "no file matches 'in/*.jsonl'" in told[1].fault
    assert "is not a folder; move it" in told[2].fault


def test_parts_of_parquet_are_tried_where_they_are_to_be(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    (tmp_path / "taken").write_text("a file")
    _, _, told, refused = reached(
        tmp_path,
        "  read: {source: {type: jsonl, path: '*.jsonl'}}\n"
        "  write: {sink: {type: parquet, path: out/deep/a.parquet}}\n"
        "  no: {from: read, sink: {type: parquet, path: taken/a.parquet}}\n",
    )
    assert str(told) == "stages.write: file out/deep/a.parquet: ok"
    assert "stages.no: file taken/a.parquet: FAILED" in str(refused)


def test_the_server_is_asked_and_its_password_masked(tmp_path: Path, server: StreamServer) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    stages = "  read: {source: {type: jsonl, path: in.jsonl}}\n  write: {sink: {type: stdout}}\n"
    assert not reached(tmp_path, stages, StreamClient.from_url(server.url))[0].fault
    away = reached(tmp_path, stages, StreamClient.from_url("redis://:hushhush@127.0.0.1:1"))[0]
    assert "not reachable" in away.fault
    assert "hushhush" not in str(away)


def test_a_table_that_is_missing_or_closed_and_wrong_credentials_are_told(
    tmp_path: Path,
    postgres: PostgresServer,
    name: str,
) -> None:
    table = name.replace("-", "_")
    postgres.execute(f"create table {table} (id int)")
    there = f"dsn: '{postgres.dsn}'"
    wrong = there.replace(PASSWORD, "not-this-one")
    told = reached(
        tmp_path,
        f"  a: {{source: {{type: postgres, {there}, table: {table}, key: [id]}}}}\n"
        f"  b: {{source: {{type: postgres, {there}, table: {table}_no, key: [id]}}}}\n"
        f"  c: {{source: {{type: postgres, {wrong}, table: {table}, key: [id]}}}}\n"
        f"  d: {{from: [a, b, c], sink: {{type: postgres, {there}, table: {table}}}}}\n"
        f"  e: {{from: [a, b, c], sink: {{type: postgres, {there}, table: {table}_e, create: true}}}}\n",
    )
    assert [bool(one.fault) for one in told] == [False, False, True, True, False, False]
    assert "there is no table" in told[2].fault
    assert "password authentication failed" in told[3].fault
    assert told[5].remark == "the table will be created"
    assert not any(secret in str(one) for one in told for secret in (PASSWORD, "not-this-one"))


def test_columns_and_queries_that_a_run_would_refuse_are_told(
    tmp_path: Path, postgres: PostgresServer, name: str
) -> None:
    table = name.replace("-", "_")
    postgres.execute(f"create table {table} (id int primary key, at timestamptz)")
    settings = {
        "fits": f"table: {table}, key: [id], cursor: at, where: id > 3",
        "key": f"table: {table}, key: [idd]",
        "cursor": f"table: {table}, key: [id], cursor: changed",
        "where": f"table: {table}, key: [id], where: place = 1",
        "blind": f"query: select id from {table}, key: [id]",
        "seeing": f"query: 'select id, xmin from {table}', key: [id]",
        "by_time": f"query: 'select id, at from {table}', key: [id], cursor: at, late: 1m",
    }

    told = reached(
        tmp_path,
        "".join(
            f"  {stage}: {{source: {{type: postgres, dsn: '{postgres.dsn}', {more}}}}}\n"
            for stage, more in settings.items()
        )
        + f"  out: {{from: [{', '.join(settings)}], sink: {{type: stdout}}}}\n",
    )

    found = {one.path.removeprefix("stages."): one.fault for one in told}
    assert [stage for stage in settings if not found[stage]] == ["fits", "seeing", "by_time"]
    assert "column t.idd does not exist; check `key`" in found["key"]
    assert "column t.changed does not exist" in found["cursor"]
    assert 'column "place" does not exist' in found["where"]
    assert "it gives no column `xmin`" in found["blind"]


def test_sqlite_says_whether_its_table_is_there_and_makes_no_file(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    told = reached(
        tmp_path,
        "  read: {source: {type: jsonl, path: in.jsonl}}\n"
        "  a: {from: read, sink: {type: sqlite, path: a.db, table: orders}}\n"
        "  b: {from: read, sink: {type: sqlite, path: b.db, table: orders, create: true}}\n",
    )
    assert "there is no table orders" in told[2].fault
    assert told[3].remark == "the table will be created"
    assert not list(tmp_path.glob("*.db"))


def test_a_web_service_is_asked_with_its_credentials(tmp_path: Path, service: WebService) -> None:
    told = reached(
        tmp_path,
        f"  a: {{source: {{type: http, url: '{service.url}/a', auth: {{bearer: right}}}}}}\n"
        f"  b: {{source: {{type: http, url: '{service.url}/b', auth: {{bearer: wrong}}}}}}\n"
        f"  c: {{from: [a, b], sink: {{type: http, url: '{service.url}/c', auth: {{bearer: right}}}}}}\n"
        f"  d: {{from: [a, b], sink: {{type: http, url: '{service.url}/d', auth: {{bearer: wrong}}}}}}\n",
    )
    assert [bool(one.fault) for one in told] == [False, False, True, False, True]
    assert "answers 401" in told[2].fault
    assert "answers 401" in told[4].fault


def test_of_a_page_it_is_told_that_nothing_is_where_its_records_should_be(
    tmp_path: Path, service: WebService
) -> None:
    source = f"{{type: http, url: '{service.url}/a', auth: {{bearer: right}}, records: data.items}}"
    told = reached(tmp_path, f"  a: {{source: {source}}}\n  b: {{sink: {{type: stdout}}}}\n")

    assert not told[1].fault
    assert told[1].remark == (
        "the page has nothing at `records: data.items`; the answer itself is a list: leave out `records`"
    )


def test_a_service_that_answers_with_an_error_is_not_said_to_be_missing(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=429)

    with WebService(answer) as busy:
        told = reached(
            tmp_path, f"  a: {{source: {{type: http, url: '{busy.url}'}}}}\n  b: {{sink: {{type: stdout}}}}\n"
        )

    assert told[1].fault == "it answers 429; a run asks again until it answers otherwise"


def test_a_server_that_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        told = reached(
            tmp_path,
            f"  a: {{source: {{type: http, url: '{url}'}}}}\n  b: {{sink: {{type: stdout}}}}\n",
            seconds=0.5,
        )
    assert "no answer within" in told[1].fault


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = reached(
            tmp_path,
            f"  a: {{source: {{type: webhook, listen: '127.0.0.1:{port}'}}}}\n"
            "  b: {sink: {type: stdout}}\n",
        )
    assert "it cannot be listened at" in told[1].fault


@pytest.fixture
def somebody() -> Iterator[Path]:
    """A folder of a user who may not write everywhere: root looks as one."""
    with tempfile.TemporaryDirectory(prefix="rsq-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "in.jsonl").write_text("{}\n")
        yield Path(folder)


def told_of_closed(folder: Path, *, owned: bool) -> str:
    """Look at a sink in a folder with the rights r-x, of one's own, or of another who gives nobody any."""
    shut = folder / "shut"
    shut.mkdir()
    stages = (
        "  read: {source: {type: jsonl, path: in.jsonl}}\n"
        "  write: {sink: {type: jsonl, path: shut/a.jsonl}}\n"
    )
    reached(folder, stages)  # imports what only its owner may read
    is_root = os.geteuid() == 0
    if is_root and owned:
        os.chown(shut, _NOBODY, _NOBODY)
    shut.chmod(0o500 if owned else 0o000)
    if is_root:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        return list(reach(load(folder / "spec.yaml"), None, 10))[2].fault
    finally:
        if is_root:
            os.setresuid(0, 0, 0)
        shut.chmod(0o700)


def test_a_folder_that_is_closed_is_told(somebody: Path) -> None:
    assert "no file may be created in the folder" in told_of_closed(somebody, owned=True)


def test_a_folder_that_may_not_be_looked_into_is_told(somebody: Path) -> None:
    assert "shut may not be read; check its rights" in told_of_closed(somebody, owned=False)


def test_the_tables_of_lookups_are_tried_too(
    tmp_path: Path, postgres: PostgresServer, service: WebService, server: StreamServer, name: str
) -> None:
    table = name.replace("-", "_")
    postgres.execute(f"create table {table} (id int, region text)")
    (tmp_path / "in.jsonl").write_text("{}\n")
    (tmp_path / "regions.csv").write_text("id,region\n1,north\n")

    def rows(column: str) -> str:
        query = f"select * from {table} where {column} = any($1)"
        return f"{{postgres: {{dsn: '{postgres.dsn}', query: '{query}'}}}}"

    regions = f"url: '{service.url}/regions/{{id}}'"
    tables = {
        "a": "regions.csv",
        "b": rows("id"),
        "c": rows("no"),
        "d": f"{{http: {{{regions}, headers: {{Authorization: Bearer right}}}}}}",
        "e": f"{{http: {{{regions}}}}}",
        "f": f"{{redis: {{key: 'regions:{{id}}', url: '{server.url}'}}}}",
        "g": "{redis: {key: 'regions:{id}', url: 'redis://127.0.0.1:1'}}",
        "h": "{redis: {key: 'regions:{id}'}}",  # the pipeline's own server
    }
    stages = "".join(
        f"  {stage}: {{lookup: {{table: {text}, key: id, as: {stage}}}}}\n" for stage, text in tables.items()
    )

    told = reached(
        tmp_path,
        f"  read: {{source: {{type: jsonl, path: in.jsonl}}}}\n{stages}  write: {{sink: {{type: stdout}}}}\n",
    )

    found = {one.path.removeprefix("stages."): one for one in told}
    assert sorted(stage for stage in tables if stage in found) == ["a", "b", "c", "d", "e", "f", "g"]
    assert [stage for stage in tables if stage in found and found[stage].fault] == ["c", "e", "g"]
    assert 'column "no" does not exist; check `query`' in found["c"].fault
    assert "it answers 401" in found["e"].fault
    assert "not reachable" in found["g"].fault
