"""A path at which no database can be is answered with what to do, by `sqlite` and `duckdb` alike."""

from __future__ import annotations

import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rsq_pipe.connectors.endpoint import RefusedError
from rsq_pipe.connectors.sink import Sink
from rsq_pipe.connectors.sqlite.database import SqliteDatabase
from rsq_pipe.connectors.sqlite.sink import Options
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch


@pytest.fixture(params=["sqlite", "duckdb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


MADE: list[Sink] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    """Close every sink, as an engine does: since Python 3.13 a forgotten connection is a warning."""
    yield
    while MADE:
        MADE.pop().close()


def sink(root: Path, kind: str, path: str) -> Sink:
    found = connector("sink", kind)
    made: Sink = found.made(
        found.options(path=path, table="t", create=True), pipeline="p", stage="out", root=root
    )
    MADE.append(made)
    return made


def test_a_folder_that_is_not_there_is_made(tmp_path: Path, kind: str) -> None:
    made = sink(tmp_path, kind, "a/b/c.db")
    made.open(None)
    made.close()

    assert (tmp_path / "a/b/c.db").is_file()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("folder", r"it is a folder; name a file in it"),
        ("text.txt/x.db", r"text\.txt is not a folder; move it, or name another"),
        ("text.txt", r"it is not an? (SQLite|DuckDB) database; move it away, or name another file"),
    ],
)
def test_a_path_at_which_no_database_can_be_is_told_with_what_to_do(
    tmp_path: Path, kind: str, path: str, told: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.txt").write_text("hello world\n" * 1_000)

    with pytest.raises(SinkError, match=rf"^stage 'out': table t of {path}: .*{told}"):
        sink(tmp_path, kind, path).open(None)

    assert (tmp_path / "text.txt").read_text() == "hello world\n" * 1_000


def test_a_place_where_nothing_can_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    told = "the file cannot be opened or created there; check the rights of the file and its folder"
    (tmp_path / "x.db").symlink_to("x.db")  # which leads nowhere, also for root

    with pytest.raises(SinkError, match=rf"^stage 'out': table t of x.db: {told}"):
        sink(tmp_path, "sqlite", "x.db").open(None)


def test_a_file_that_may_not_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    opened = sqlite3.connect(tmp_path / "x.db")
    opened.execute("create table t (n)")
    opened.close()
    made = SqliteDatabase(Path("x.db"), Options(path="x.db", table="t"), owner=("p", "out", "t"))
    made._open = sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True)

    with pytest.raises(RefusedError, match=r"^the file may not be written; check its rights, and those of"):
        made._run("insert into t values (1)")
    made.close()


def test_a_full_disk_is_told_with_what_to_do(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = sink(tmp_path, kind, "x.db")
    made.open(None)
    records = [{"n": n, "t": f"{n * 7_919}" * 50} for n in range(20_000)]
    # No file of this process may grow beyond so much, as on a disk that is full.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        with pytest.raises(SinkError, match=r"^stage 'out': table t of x\.db: the disk is full.*; make room"):
            made.write(Batch(records, [f"r{n}" for n in range(len(records))]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    made.close()


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_is_gone_or_replaced_while_it_is_written_ends_the_run(
    tmp_path: Path, kind: str, how: str
) -> None:
    made = sink(tmp_path, kind, "x.db")
    made.open(None)
    made.write(Batch([{"n": 1}], ["r1"]))
    file = tmp_path / "x.db"
    file.rename(tmp_path / "old.db")
    if how == "deleted":
        (tmp_path / "old.db").unlink()
    if how == "replaced":
        sqlite3.connect(file).close()
        file.touch()

    with pytest.raises(
        SinkError,
        match=r"^stage 'out': table t of x\.db: the file was moved, deleted or replaced .*put it back",
    ):
        made.write(Batch([{"n": 2}], ["r2"]))
    made.close()
