"""What every file source guarantees: each record once, in order, from any position."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.connectors.files.unpacked import packed
from rsq_pipe.connectors.source import Arrival, Source
from rsq_pipe.connectors.table import connector


@dataclass(frozen=True)
class Case:
    """A source over files that hold good and broken records of every shape."""

    kind: str
    path: str
    files: dict[str, bytes]
    good: int
    broken: int
    options: dict[str, Any] = field(default_factory=dict)

    def connect(self, root: Path) -> Source:
        """Make the source as a new process would."""
        found = connector("source", self.kind)
        assert found.connect is not None
        options = found.options(path=self.path, max_line="200B", final=True, **self.options)
        source: Source = found.connect(options, stage="read", root=root)
        return source


JSONL = (
    b'\xef\xbb\xbf{"id": 1}\n\n{"id": 2}\r\n{broken\n{"id": 4, "id": 5}\n   \n[6]\n'
    + b'{"id": "\xff"}\n{"pad": "%s"}\n' % (b"x" * 500)
    + b"".join(b'{"id": %d}\n' % n for n in range(7, 20))
    + b'{"id": "last, without a newline"}'
)
CSV = (
    b'\xef\xbb\xbfid,"note\nof two lines"\r\n1,a\r\n2,"two\nlines"\n\n3,"""quoted"", and\r\n\r\nthree"\n'
    + b'x,not a number\n4\n5,\xff\n6,"a"b\n7,"open\n8,closed by nobody\n9,%s\n' % (b"x" * 500)
    + b"".join(b'%d,"n\n%d"\n' % (n, n) for n in range(10, 20))
    + b'20,"last,\nwithout a newline"'
)
SEMICOLONS = (
    b"written by hand\n# id; note\nid; note\n# none\n1; 'a; b'\n2;'two\nlines'\n\nx; no number\n3;\xe9\n"
    + b"#\n".join(b"%d; %d,5\n" % (n, n) for n in range(4, 20))
    + b"20;\x81\n21;last"
)
BY_HAND = {
    "delimiter": ";",
    "quote": "'",
    "encoding": "cp1252",
    "skip": 1,
    "comment": "#",
    "trim": True,
    "types": {"id": "int"},
}
WIDE = "id,note\n1,a\n2,'two\nlines'\nx,é\n3,\U0001f600\n4\n".replace("'", '"').encode("utf-16")
INFERRED = b"id,note\n" + b"".join(b"%d,1.5\n" % n for n in range(7)) + b"x,1\n8,2\n9,y\n"
CASES = [
    Case("jsonl", "in/*.jsonl", {"in/a.jsonl": JSONL, "in/b.jsonl": JSONL}, 32, 10),
    Case("jsonl", "in/*.gz", {"in/a.jsonl.gz": JSONL}, 16, 5),
    Case("csv", "in/*.csv", {"in/a.csv": CSV, "in/b.csv": CSV}, 30, 12, {"types": {"id": "int"}}),
    Case("csv", "in/**/*.gz", {"in/deep/a.csv.gz": CSV}, 15, 6, {"types": {"id": "int"}}),
    Case("jsonl", "in/*.bz2", {"in/a.jsonl.bz2": JSONL}, 16, 5),
    Case("csv", "in/*.zst", {"in/a.csv.zst": CSV}, 15, 6, {"types": {"id": "int"}}),
    Case("csv", "in/*.txt", {"in/a.txt": SEMICOLONS}, 20, 2, BY_HAND),
    Case("csv", "in/*.csv", {"in/a.csv": WIDE}, 3, 2, {"encoding": "utf-16", "types": {"id": "int"}}),
    Case("csv", "in/*.inf", {"in/a.inf": INFERRED}, 8, 2, {"types": "infer", "infer_rows": 5}),
]


@pytest.fixture(
    params=CASES, ids=lambda case: f"{case.kind}:{case.path}:{case.options.get('encoding', 'utf-8')}"
)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    case: Case = request.param
    for name, data in case.files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(name, data))
    return case


def read(case: Case, root: Path, shard: str, position: str, size: int) -> list[tuple[Arrival, str]]:
    """Read a shard to its end; each arrival with the position of its chunk."""
    chunks = case.connect(root).read(shard, position, size)
    return [(arrival, chunk.position) for chunk in chunks for arrival in chunk.arrivals]


def test_every_record_and_every_broken_line_arrives_once(case: Case, tmp_path: Path) -> None:
    shards = case.connect(tmp_path).shards()
    arrivals = [arrival for shard in shards for arrival, _ in read(case, tmp_path, shard, "", 7)]

    good = [arrival for arrival in arrivals if arrival.data is not None]
    broken = [arrival for arrival in arrivals if arrival.data is None]
    assert (len(good), len(broken)) == (case.good, case.broken)
    assert not any(arrival.error for arrival in good)
    assert all(arrival.error and arrival.raw for arrival in broken)
    assert len({arrival.offset for arrival in arrivals}) == len(arrivals)


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_another_process_goes_on_from_every_position_without_loss_or_repetition(
    case: Case, tmp_path: Path, size: int
) -> None:
    for shard in case.connect(tmp_path).shards():
        whole = read(case, tmp_path, shard, "", size)
        arrivals = [arrival for arrival, _ in whole]

        for index, (_, position) in enumerate(whole):
            if index + 1 < len(whole) and whole[index + 1][1] == position:
                continue  # inside a chunk
            assert [later for later, _ in read(case, tmp_path, shard, position, 3)] == arrivals[index + 1 :]


def test_broken_line_names_its_file_and_keeps_its_bytes(case: Case, tmp_path: Path) -> None:
    for shard in case.connect(tmp_path).shards():
        data = next(data for name, data in case.files.items() if name.endswith(shard))
        for arrival, _ in read(case, tmp_path, shard, "", 100):
            if arrival.data is None:
                line = int(arrival.offset.rpartition(":")[2])
                assert f"{shard}:{line}: " in arrival.error
                # Of wide characters, what is kept is the line in UTF-8.
                text = data.decode("utf-16").encode() if case.options.get("encoding") == "utf-16" else data
                assert text.split(b"\n")[line - 1].startswith(arrival.raw)


def test_source_says_that_another_process_can_go_on_with_it(case: Case, tmp_path: Path) -> None:
    assert case.connect(tmp_path).resumable
