"""File sinks: what stands in the file is what was committed, or an error says why not."""

from __future__ import annotations

import fcntl
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from rsq_pipe.connectors.files.owned_file import remove_copies
from rsq_pipe.connectors.sink import Sink, TargetBusyError
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Sink]
MakeBatch = Callable[..., Batch]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.jsonl"


@pytest.fixture
def committed(sink: Make, batch: MakeBatch) -> str:
    """The position of a file that holds record 1, closed."""
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    position = made.write(batch({"id": 1})).position
    made.close()
    return position


@pytest.fixture
def moved_away(path: Path, committed: str, sink: Make) -> str:
    """The position stored for a new file, empty yet, after the one with record 1 was moved to `x.jsonl.1`."""
    rename(path)
    made = sink("jsonl", path="x.jsonl")
    position = made.open(committed)
    made.close()
    return position


def rename(path: Path) -> None:
    path.rename(f"{path}.1")


def empty(path: Path) -> None:
    os.truncate(path, 0)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes: a full disk in small."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("tail", [b"", b'{"id":2}\n', b'{"id"'])
def test_what_stands_behind_the_stored_position_is_cut_off(
    path: Path, committed: str, sink: Make, batch: MakeBatch, tail: bytes
) -> None:
    path.write_bytes(path.read_bytes() + tail)

    made = sink("jsonl", path="x.jsonl")
    assert made.open(committed) == committed
    made.write(batch({"id": 2}))

    assert path.read_text() == '{"id":1}\n{"id":2}\n'


def test_file_of_somebody_else_is_not_touched(path: Path, sink: Make) -> None:
    path.write_text("mine\n")

    with pytest.raises(SinkError, match=r"x\.jsonl: it exists and was not written by this pipeline.*--fresh"):
        sink("jsonl", path="x.jsonl").open(None)

    assert path.read_text() == "mine\n"


@pytest.mark.parametrize(
    "case",
    [
        ("append", "mine\n", 'mine\n{"id":1}\n'),
        ("append", "mine", 'mine\n{"id":1}\n'),
        ("replace", "mine\n", '{"id":1}\n'),
        ("error", "", '{"id":1}\n'),
    ],
)
def test_file_of_somebody_else_is_appended_to_or_replaced_on_request(
    path: Path, sink: Make, batch: MakeBatch, case: tuple[str, str, str]
) -> None:
    exists, before, after = case
    path.write_text(before)
    made = sink("jsonl", path="x.jsonl", exists=exists)

    begin = made.open(None)
    made.write(batch({"id": 9}))
    made.open(begin)  # the batch was not committed
    made.write(batch({"id": 1}))

    assert path.read_text() == after


@pytest.mark.parametrize("stored", [True, False])
def test_fresh_replaces_whatever_is_there(
    path: Path, committed: str, sink: Make, batch: MakeBatch, stored: bool
) -> None:
    made = sink("jsonl", path="x.jsonl")

    made.open(committed if stored else None, fresh=True)
    made.write(batch({"id": 7}))

    assert path.read_text() == '{"id":7}\n'


@pytest.mark.parametrize("gone", [Path.unlink, rename, empty])
def test_file_that_was_rotated_away_begins_anew_with_a_warning(
    path: Path, committed: str, sink: Make, batch: MakeBatch, gone: Callable[[Path], object]
) -> None:
    gone(path)
    made = sink("jsonl", path="x.jsonl")

    with capture_logs() as logs:
        position = made.open(committed)

    assert [(entry["log_level"], entry["event"]) for entry in logs] == [
        ("warning", "file is gone, a new one begins")
    ]
    assert position != committed
    made.write(batch({"id": 2}))
    assert path.read_text() == '{"id":2}\n'


def test_file_that_comes_back_before_anything_was_committed_goes_on(
    path: Path, committed: str, moved_away: str, sink: Make, batch: MakeBatch
) -> None:
    Path(f"{path}.1").rename(path)

    back = sink("jsonl", path="x.jsonl")
    assert back.open(moved_away) == committed
    back.write(batch({"id": 2}))

    assert path.read_text() == '{"id":1}\n{"id":2}\n'


def test_what_a_killed_writer_left_in_the_new_file_is_cut_off_and_the_former_one_still_known(
    path: Path, moved_away: str, sink: Make
) -> None:
    path.write_text('{"id":2}\n')

    assert sink("jsonl", path="x.jsonl").open(moved_away) == moved_away

    assert path.read_text() == ""


def test_file_that_comes_back_after_something_was_committed_is_an_error(
    path: Path, moved_away: str, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(moved_away)
    position = made.write(batch({"id": 22})).position
    made.close()
    Path(f"{path}.1").replace(path)

    with pytest.raises(SinkError, match=r"is not the file this pipeline wrote 10 bytes to"):
        sink("jsonl", path="x.jsonl").open(position)


@pytest.mark.parametrize("now", ['{"id":', '{"id":7}\n{"id":8}\n'])
def test_file_that_is_not_the_one_written_before_is_an_error(
    path: Path, committed: str, sink: Make, now: str
) -> None:
    path.write_text(now)

    with pytest.raises(SinkError, match=r"is not the file this pipeline wrote 9 bytes to"):
        sink("jsonl", path="x.jsonl").open(committed)

    assert path.read_text() == now


def test_full_disk_is_an_error_that_leaves_no_part_of_the_batch(
    path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    made.write(batch({"id": 1}))

    with largest_file(20), pytest.raises(SinkError, match=r"File too large; nothing of the batch was kept"):
        made.write(batch({"id": 2}, {"id": 3}, {"id": 4}))

    assert path.read_text() == '{"id":1}\n'
    made.write(batch({"id": 2}))
    assert path.read_text() == '{"id":1}\n{"id":2}\n'


@pytest.mark.parametrize("move", [Path.unlink, rename])
def test_writer_notices_that_its_file_was_moved_away(
    path: Path, sink: Make, batch: MakeBatch, move: Callable[[Path], object]
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    position = made.write(batch({"id": 1})).position
    move(path)

    with pytest.raises(SinkError, match="moved away, or another writer has taken it over"):
        made.write(batch({"id": 2}))

    made.open(position)
    made.write(batch({"id": 2}))
    assert path.read_text() == '{"id":2}\n'


def cut(path: Path) -> None:
    os.truncate(path, 4)


def replace_in_place(path: Path) -> None:
    path.write_text('{"no":"file of ours"}\n')


@pytest.mark.parametrize("harm", [cut, empty, replace_in_place])
def test_file_that_was_shortened_or_overwritten_in_mid_run_is_an_error_and_left_as_it_is(
    path: Path, sink: Make, batch: MakeBatch, harm: Callable[[Path], None]
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    made.write(batch({"id": 1}))
    harm(path)
    left = path.read_bytes()

    for _ in range(2):
        with pytest.raises(SinkError, match=r"it is not the file this pipeline wrote 9 bytes to"):
            made.write(batch({"id": 2}))

    assert path.read_bytes() == left


def test_what_others_add_in_mid_run_is_cut_off_with_a_warning(
    path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl")
    made.open(None)
    made.write(batch({"id": 1}))
    with path.open("a") as file:
        file.write("added by somebody else, longer than what is written next\n")

    with capture_logs() as logs:
        made.write(batch({"id": 2}))

    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert path.read_text() == '{"id":1}\n{"id":2}\n'


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("folder", "it is a folder"),
        ("/dev/full", "it is not a regular file"),
        ("file/x.jsonl", "it cannot be written: "),
        ("loop", "Too many levels of symbolic links"),
    ],
)
def test_target_that_cannot_be_a_file_is_an_error(tmp_path: Path, sink: Make, target: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(SinkError, match="stage 'large'") as caught:
        sink("jsonl", path=target).open(None)

    assert why in str(caught.value)


def test_link_is_followed_and_stays_a_link(tmp_path: Path, path: Path, sink: Make, batch: MakeBatch) -> None:
    (tmp_path / "disk").mkdir()
    path.symlink_to("disk/real.jsonl")
    made, other = sink("jsonl", path="x.jsonl"), sink("jsonl", path="x.jsonl")
    made.open(None)
    other.open(made.write(batch({"id": 1})).position)  # while the first holds the lock

    other.write(batch({"id": 2}))

    assert path.is_symlink()
    assert (tmp_path / "disk/real.jsonl").read_text() == '{"id":1}\n{"id":2}\n'


def test_writer_that_lost_the_file_to_another_can_write_no_more(
    path: Path, sink: Make, batch: MakeBatch
) -> None:
    slow, fast = sink("jsonl", path="x.jsonl"), sink("jsonl", path="x.jsonl")
    slow.open(None)
    position = slow.write(batch({"id": 1})).position
    slow.write(batch({"id": "uncommitted"}))
    path.chmod(0o640)

    with capture_logs() as logs:
        fast.open(position)

    assert [entry["log_level"] for entry in logs] == ["warning"]
    with pytest.raises(SinkError, match="another writer has taken it over"):
        slow.write(batch({"id": "late"}))
    fast.write(batch({"id": 2}))
    assert path.read_text() == '{"id":1}\n{"id":2}\n'
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_copies_of_earlier_take_overs_are_removed_even_of_one_that_is_paused_in_it(
    path: Path, committed: str, sink: Make
) -> None:
    left, used = path.with_name(".x.jsonl.a1.takeover"), path.with_name(".x.jsonl.b2.takeover")
    left.touch()
    with used.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        sink("jsonl", path="x.jsonl").open(committed)

        assert sorted(path.parent.iterdir()) == [path]


def test_a_copy_that_another_removes_before_it_takes_the_files_place_is_made_again(
    path: Path, sink: Make, batch: MakeBatch
) -> None:
    paused, later = sink("jsonl", path="x.jsonl"), sink("jsonl", path="x.jsonl")
    paused.open(None)
    position = paused.write(batch({"id": 1})).position

    def still() -> bool:
        remove_copies(path)
        return True

    with pytest.raises(TargetBusyError):
        later.open(position, still=still)
    later.open(position)
    later.write(batch({"id": 2}))

    assert path.read_text() == '{"id":1}\n{"id":2}\n'
    assert list(path.parent.iterdir()) == [path]


def test_target_is_named_from_the_project_root_however_it_is_written(tmp_path: Path, sink: Make) -> None:
    targets = {
        sink("jsonl", path="out/x.jsonl").target,
        sink("jsonl", path="./a/../out/x.jsonl").target,
        sink("jsonl", path=str(tmp_path / "out/x.jsonl")).target,
    }

    assert targets == {"out/x.jsonl"}


def test_opening_by_one_that_is_no_longer_the_writer_cuts_nothing_off(
    path: Path, committed: str, sink: Make
) -> None:
    path.write_text('{"id":1}\n{"id":2}\n')  # the second line: another writer's, during the pause

    with pytest.raises(SinkError, match="another process has become its writer"):
        sink("jsonl", path="x.jsonl").open(committed, still=lambda: False)

    assert path.read_text() == '{"id":1}\n{"id":2}\n'
