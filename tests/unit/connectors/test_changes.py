"""Files that are looked at again: what has changed is named once, and a new one when it is left alone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.files.changes import STABLE, Changes
from rsq_pipe.connectors.source import Source
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SourceError


def changes(root: Path, *, at_once: bool) -> Changes:
    return Changes(lambda: sorted(path.name for path in root.iterdir()), root.joinpath, at_once=at_once)


def old(path: Path, seconds: float = 60) -> Path:
    """Date a file back."""
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def test_a_file_is_named_when_it_is_new_and_when_it_has_grown(tmp_path: Path) -> None:
    look = changes(tmp_path, at_once=True)
    (tmp_path / "a").write_text("1\n")

    assert look.next() == ["a"]
    assert look.next() == []
    with (tmp_path / "a").open("a") as file:
        file.write("2\n")
    (tmp_path / "b").touch()
    assert look.next() == ["a", "b"]
    (tmp_path / "a").unlink()
    assert look.next() == []


def test_a_new_file_is_named_once_it_has_been_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    look = changes(tmp_path, at_once=False)
    path = tmp_path / "a"
    path.write_text("1\n")
    ahead = time.time() + 3600  # its time stamp is another machine's, whose clock is ahead
    os.utime(path, (ahead, ahead))

    assert look.next() == []
    path.write_text("1\n2\n")
    os.utime(path, (ahead, ahead))
    now[0] += STABLE
    assert look.next() == []
    now[0] += STABLE
    assert look.next() == ["a"]
    assert look.next() == []


def test_an_old_file_is_named_at_the_first_look(tmp_path: Path) -> None:
    old(tmp_path / "a") if (tmp_path / "a").write_text("1\n") else None

    assert changes(tmp_path, at_once=False).next() == ["a"]


@pytest.fixture
def source(tmp_path: Path) -> Callable[..., Any]:
    """Make a source on the temporary folder."""

    def make(kind: str, **options: Any) -> Source:
        found = connector("source", kind)
        assert found.connect is not None
        made: Source = found.connect(found.options(**options), stage="read", root=tmp_path)
        return made

    return make


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_a_folder_that_is_watched_may_be_empty_and_is_not_otherwise(
    kind: str, source: Callable[..., Any], tmp_path: Path
) -> None:
    watched = source(kind, path=f"*.{kind}", watch=True)

    assert watched.shards() == []
    (tmp_path / f"a.{kind}").touch()
    old(tmp_path / f"a.{kind}")
    assert watched.changed() == [f"a.{kind}"]
    with pytest.raises(SourceError, match="no file matches"):
        source(kind, path="*.other").shards()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_last_line_of_a_followed_file_is_no_record_until_it_is_ended(
    kind: str, source: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text({"csv": "n\n1\n2", "jsonl": '{"n": "1"}\n{"n": '}[kind])
    followed = source(kind, path="x", follow=True)
    assert followed.shards() == ["x"]
    [chunk] = followed.read("x", "", 10)
    assert chunk.records == [{"n": "1"}]

    with path.open("a") as file:
        file.write({"csv": "3\n", "jsonl": '"23"}\n'}[kind])

    assert followed.changed() == ["x"]
    [chunk] = followed.read("x", chunk.position, 10)
    assert chunk.records == [{"n": "23"}]


def test_a_short_file_that_grew_while_it_was_read_is_the_one_that_was_read(
    source: Callable[..., Any], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text("n\n" + "".join(f"{number}\n" for number in range(6)))
    followed = source("csv", path="x", follow=True)
    chunks = followed.read("x", "", 3)
    first = next(chunks)
    with path.open("a") as file:
        file.writelines(f"{number}\n" for number in range(6, 2000))

    read = [first, *chunks]
    with path.open("a") as file:
        file.write("2000\n")

    for chunk in (read[-1], read[1]):
        assert next(followed.read("x", chunk.position, 3)).records
    numbers = [record["n"] for chunk in read for record in chunk.records]
    assert numbers == [str(number) for number in range(2000)]


@pytest.mark.parametrize(
    ("kind", "options", "why"),
    [
        ("jsonl", {"path": "-", "follow": True}, "standard input"),
        ("csv", {"path": "-", "watch": True}, "standard input"),
        ("jsonl", {"path": "x.jsonl.gz", "follow": True}, "no packed file is followed"),
        ("csv", {"path": "x.csv", "follow": True, "encoding": "utf-16"}, "is not followed"),
    ],
)
def test_what_cannot_be_followed_is_refused(kind: str, options: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        connector("source", kind).options(**options)
