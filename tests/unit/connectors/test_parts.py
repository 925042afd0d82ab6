"""Files in parts: each is whole when it is seen, and stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rsq_pipe.connectors.sink import Sink
from rsq_pipe.connectors.table import connector
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Any]
MakeBatch = Callable[..., Batch]
ROTATE = {"size": "20B"}


def parts(root: Path) -> dict[str, str]:
    """Read the files that can be seen."""
    return {path.name: path.read_text() for path in sorted(root.glob("x*"))}


def test_a_part_is_seen_when_it_is_full_and_acknowledged_and_the_last_when_the_sink_ends(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl", rotate=ROTATE)
    made.open(None)
    for n in range(3):
        made.write(batch({"n": n, "text": "long enough"}))
        made.stored()
        assert len(parts(tmp_path)) == n
    made.close()

    assert parts(tmp_path) == {
        f"x-00000{n + 1}.jsonl": f'{{"n":{n},"text":"long enough"}}\n' for n in range(3)
    }
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_not_acknowledged_is_never_seen(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    first = sink("jsonl", path="x.jsonl", rotate=ROTATE)
    first.open(None)
    position = first.write(batch({"n": 1, "text": "acknowledged"})).position
    first.stored()
    first.write(batch({"n": 2, "text": "not acknowledged"}))
    first.close()
    assert list(parts(tmp_path)) == ["x-000001.jsonl"]

    second: Sink = sink("jsonl", path="x.jsonl", rotate=ROTATE)
    second.open(position)
    second.write(batch({"n": 3}))
    second.stored()  # type: ignore[attr-defined]
    second.close()

    assert list(parts(tmp_path).values()) == ['{"n":1,"text":"acknowledged"}\n', '{"n":3}\n']


def test_each_part_of_a_csv_has_its_header(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    made = sink("csv", path="x.csv", rotate={"size": "5B"})
    made.open(None)
    for n in range(2):
        made.write(batch({"n": n, "m": None}))
        made.stored()
    made.close()

    assert parts(tmp_path) == {"x-000001.csv": "n,m\n0,\n", "x-000002.csv": "n,m\n1,\n"}


def test_a_process_that_is_not_the_writer_any_more_finishes_no_part(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("jsonl", path="x.jsonl", rotate=ROTATE)
    owner = [True]
    made.open(None, still=lambda: owner[0])
    made.write(batch({"n": 1, "text": "long enough"}))
    made.stored()
    owner[0] = False

    made.write(batch({"n": 2}))
    made.close()

    assert parts(tmp_path) == {}


def test_age_finishes_a_part(
    tmp_path: Path, sink: Make, batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    made = sink("jsonl", path="x.jsonl", rotate={"every": "1h"})
    made.open(None)
    for seconds in (0, 3599, 3601, 3602):
        now[0] = seconds
        made.write(batch({"n": seconds}))
        made.stored()
    made.close()

    assert list(parts(tmp_path).values()) == ['{"n":0}\n{"n":3599}\n', '{"n":3601}\n{"n":3602}\n']


def test_a_part_has_no_more_records_than_it_may_unless_one_batch_alone_has(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    made = sink("csv", path="x.csv", rotate={"records": 3})
    made.open(None)
    for numbers in ((1, 2), (3,), (4,), (5, 6, 7), (8, 9, 10, 11), (12,)):
        made.write(batch(*({"n": n} for n in numbers)))
        made.stored()
    made.close()

    found = [text.split()[1:] for text in parts(tmp_path).values()]
    assert found == [["1", "2", "3"], ["4"], ["5", "6", "7"], ["8", "9", "10", "11"], ["12"]]


def test_records_of_a_part_are_counted_over_restarts_and_those_that_cannot_be_written_are_not(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    position = None
    for numbers in ((1, 2), (3, 3j), (4,), (5, 6)):  # 3j is not JSON
        made = sink("jsonl", path="x.jsonl", rotate={"records": 4})
        made.open(position)
        position = made.write(batch(*({"n": n} for n in numbers))).position
        made.stored()
        made._file._committed = False  # killed before it could finish the part
        made.close()
    assert parts(tmp_path) == {"x-000001.jsonl": "".join(f'{{"n":{n}}}\n' for n in (1, 2, 3, 4))}


def test_a_part_that_is_gone_begins_again_with_no_records(
    tmp_path: Path, sink: Make, batch: MakeBatch
) -> None:
    first = sink("jsonl", path="x.jsonl", rotate={"records": 2})
    first.open(None)
    position = first.write(batch({"n": 1}, {"n": 2})).position
    first._file._committed = False
    first.close()
    (tmp_path / ".x-000001.jsonl").unlink()

    second = sink("jsonl", path="x.jsonl", rotate={"records": 2})
    second.open(position)
    for n in (3, 4):
        second.write(batch({"n": n}))
        second.stored()
    second.close()

    assert parts(tmp_path) == {"x-000001.jsonl": '{"n":3}\n{"n":4}\n'}


def test_parts_of_others_are_kept_replaced_or_an_error(tmp_path: Path, sink: Make, batch: MakeBatch) -> None:
    (tmp_path / "x-000007.jsonl").write_text("{}\n")
    with pytest.raises(SinkError, match=r"x-000007\.jsonl exists and was not written by this pipeline"):
        sink("jsonl", path="x.jsonl", rotate=ROTATE).open(None)

    for exists, names in (("append", ["x-000007.jsonl", "x-000008.jsonl"]), ("replace", ["x-000001.jsonl"])):
        made = sink("jsonl", path="x.jsonl", rotate=ROTATE, exists=exists)
        made.open(None)
        made.write(batch({"n": 1}))
        made.stored()
        made.close()
        assert list(parts(tmp_path)) == names


def test_a_file_that_was_one_so_far_is_told(tmp_path: Path, sink: Make) -> None:
    with pytest.raises(SinkError, match="it was written as one file so far"):
        sink("jsonl", path="x.jsonl", rotate=ROTATE).open("12:abcdef01")


def test_rotation_needs_a_size_an_age_or_a_number_of_records() -> None:
    with pytest.raises(ValidationError, match="it is never finished; write `size: 64MiB`"):
        connector("sink", "csv").options(path="x.csv", rotate={})
