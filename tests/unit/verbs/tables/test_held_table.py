"""A lookup's file is read once in a process, and again when it has changed; a broken one changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rsq_pipe.spec.stages.lookup import FileRef
from rsq_pipe.verbs.tables import held_table
from rsq_pipe.verbs.tables.held_table import HeldTable
from rsq_pipe.verbs.tables.table import Wanted
from tests.support.signals import eventually


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_table, "PERIOD", 0.01)


def wanted(path: Path, max_rows: int = 1_000) -> Wanted:
    return Wanted(path, FileRef(path.name, max_rows=max_rows), ("id",), {"name": "name"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "c.csv"
    path.write_text("id,name\n1,Ada\n")
    return path


@pytest.fixture
def held(path: Path) -> HeldTable:
    held = HeldTable.of(wanted(path))
    held.open()
    return held


def replace(path: Path, text: str) -> None:
    """Put a file in a file's place, as one should."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def names(held: HeldTable) -> list[str]:
    held.reload_if_changed()
    return [row["name"] for row in held.table.rows.values()]


def trouble(held: HeldTable) -> str:
    held.reload_if_changed()
    return held.trouble


def test_those_who_want_the_same_of_a_file_share_it(path: Path, held: HeldTable) -> None:
    assert HeldTable.of(wanted(path)) is held
    assert HeldTable.of(wanted(path, max_rows=5)) is not held


def test_a_file_that_has_changed_takes_the_place_of_the_old_one(path: Path, held: HeldTable) -> None:
    before = held.table

    replace(path, "id,name\n1,Ann\n2,Bob\n")

    eventually(lambda: names(held) == ["Ann", "Bob"])
    assert [row["name"] for row in before.rows.values()] == ["Ada"], "what is in use is not changed"
    assert held.readings == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("id,name\n1,Ann\n2\n", "c.csv:3: 1 field where the header has 2"),
        ("", "c.csv:1: the file does not begin with a header line"),
        ("id,name\n1,Ann\n1,Bob\n", "c.csv:3: id '1' is already in line 2"),
        ("id,nmae\n1,Ann\n", "c.csv has no column 'name'; did you mean 'nmae'?"),
    ],
)
def test_a_broken_file_leaves_the_old_rows_and_says_so_until_it_is_mended(
    path: Path, held: HeldTable, text: str, why: str
) -> None:
    path.write_text(text)

    assert eventually(lambda: trouble(held)).startswith(why)
    assert names(held) == ["Ada"]
    assert held.since

    replace(path, "id,name\n7,Gus\n")
    eventually(lambda: names(held) == ["Gus"])
    assert not held.trouble


def test_a_file_that_is_gone_leaves_the_old_rows(path: Path, held: HeldTable) -> None:
    path.unlink()

    assert eventually(lambda: trouble(held)) == "c.csv: no such file or directory"
    assert names(held) == ["Ada"]


def test_a_file_that_is_still_written_is_not_read(path: Path, held: HeldTable) -> None:
    lines = ["id,name\n"] + [f"{n},Ann\n" for n in range(200)]
    with path.open("w") as file:
        for line in lines:
            file.write(line)
            file.flush()
            os.utime(path, ns=(0, held.readings + file.tell()))  # a clock that is coarser than we are quick
            assert names(held) == ["Ada"]

    eventually(lambda: len(names(held)) == 200)


def test_a_file_that_cannot_be_opened_at_first_can_later(tmp_path: Path) -> None:
    path = tmp_path / "late.csv"
    held = HeldTable.of(wanted(path))
    with pytest.raises(FileNotFoundError):
        held.open()

    path.write_text("id,name\n1,Ada\n")
    held.open()

    assert names(held) == ["Ada"]
