"""`rid: true`: what a sink writes names each record's id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.sink import Sink
from rsq_pipe.errors import SinkError
from rsq_pipe.model.batch import Batch

Make = Callable[..., Sink]


def batch_of(*records: Any) -> Batch:
    """Name the records read:0, read:1 ..."""
    return Batch(list(records), [f"read:{place}" for place in range(len(records))])


@pytest.mark.parametrize(
    ("kind", "expected"),
    {
        "jsonl": '{"rid":"read:0","n":1}\n{"rid":"read:1","n":2}\n',
        "csv": "rid,n\nread:0,1\nread:1,2\n",
    }.items(),
)
def test_each_row_names_its_record_id_where_that_is_asked_for(
    tmp_path: Path, sink: Make, kind: str, expected: str
) -> None:
    made = sink(kind, path="x", rid=True)
    made.open(None)

    assert made.write(batch_of({"n": 1}, {"n": 2})).failures == {}

    assert (tmp_path / "x").read_text() == expected


def test_standard_output_names_them_too(sink: Make, capfd: pytest.CaptureFixture[str]) -> None:
    assert sink("stdout", rid=True).write(batch_of({"n": 1})).failures == {}
    assert capfd.readouterr().out == '{"rid":"read:0","n":1}\n'


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_record_with_another_rid_of_its_own_fails_alone_and_is_not_written_over(
    tmp_path: Path, sink: Make, kind: str
) -> None:
    made = sink(kind, path="x", rid=True)
    made.open(None)

    written = made.write(batch_of({"rid": "mine", "n": 1}, {"rid": "read:1", "n": 2}, {"n": 3}))

    assert list(written.failures) == [0]
    assert "it has its own field 'rid'" in str(written.failures[0])
    text = (tmp_path / "x").read_text()
    assert "mine" not in text
    assert text.count("read:1") == text.count("read:2") == 1


@pytest.mark.parametrize(("fields", "header"), [(("n",), "rid,n"), (("n", "rid"), "n,rid")])
def test_the_columns_that_are_given_need_not_name_it(
    tmp_path: Path, sink: Make, fields: tuple[str, ...], header: str
) -> None:
    made = sink("csv", path="x.csv", rid=True, fields=fields)
    made.open(None)

    assert made.write(batch_of({"n": 1})).failures == {}

    assert (tmp_path / "x.csv").read_text().splitlines()[0] == header


def test_a_csv_that_was_begun_without_ids_is_not_gone_on_in_with_them(sink: Make) -> None:
    plain = sink("csv", path="x.csv")
    plain.open(None)
    position = plain.write(batch_of({"n": 1})).position
    plain.close()

    with pytest.raises(SinkError, match="has the columns n, not `rid`"):
        sink("csv", path="x.csv", rid=True).open(position)
