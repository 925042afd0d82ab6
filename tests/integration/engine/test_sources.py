"""Files among others: one that cannot be read keeps nobody from the rest, and no run claims success."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from rsq_pipe.errors import SourceError
from tests.integration.engine.lab import Lab

CSV = """\
read: {source: {type: csv, path: 'in/*.csv', types: {n: int}}}
out: {sink: {type: jsonl, path: out/all.jsonl}}
"""


def write(lab: Lab, name: str, text: str) -> None:
    path = lab.root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


async def test_an_empty_csv_among_others_is_told_and_passed_over(lab: Lab) -> None:
    lab.spec(CSV)
    write(lab, "in/a.csv", "n\n1\n")
    write(lab, "in/b.csv", "")
    write(lab, "in/c.csv", "n\n3\n")

    with capture_logs() as lines:
        summary = await lab.run()

    assert summary.finished
    assert lab.numbers("out/all.jsonl") == [1, 3]
    assert [line for line in lines if line.get("file") == "in/b.csv"]

    write(lab, "in/b.csv", "n\n2\n")
    assert (await lab.run()).finished
    assert lab.numbers("out/all.jsonl") == [1, 2, 3]


async def test_a_csv_with_a_wrong_header_keeps_no_other_from_the_sink_and_ends_the_run_with_an_error(
    lab: Lab,
) -> None:
    lab.spec(CSV)
    write(lab, "in/a.csv", "n,n\n1,1\n")
    write(lab, "in/b.csv", "n,\n2,2\n")
    write(lab, "in/c.csv", "n\n3\n")

    with pytest.raises(SourceError, match=r"in/a\.csv:1: .*'n' twice; .* \(and 1 more file"):
        await lab.run()

    assert lab.numbers("out/all.jsonl") == [3]
    write(lab, "in/a.csv", "n\n1\n")
    write(lab, "in/b.csv", "n\n2\n")
    assert (await lab.run()).finished
    assert lab.numbers("out/all.jsonl") == [1, 2, 3]


async def test_a_file_that_was_replaced_keeps_no_other_from_the_sink(lab: Lab) -> None:
    lab.spec(CSV)
    write(lab, "in/a.csv", "n\n1\n")
    await lab.run()
    write(lab, "in/a.csv", "m,n\n1,2\n")
    write(lab, "in/b.csv", "n\n3\n")

    with pytest.raises(SourceError, match=r"in/a\.csv is not the file that was read up to line 2"):
        await lab.run()

    assert lab.numbers("out/all.jsonl") == [1, 3]


async def test_dead_letters_of_a_source_are_told_in_one_line_a_batch_and_kind(lab: Lab) -> None:
    lab.spec("read: {source: {type: jsonl, path: in.jsonl}}\nout: {sink: {type: jsonl, path: out/all.jsonl}}")
    lines = "".join(f'  {{\n    "n": {n}\n  }},\n' for n in range(400))
    (lab.root / "in.jsonl").write_text(f"[\n{lines}]\n")

    with capture_logs() as logged:
        summary = await lab.run()

    told = [line for line in logged if line["event"] == "dead-lettered what cannot be read"]
    batches = -(-1_202 // 50)
    assert summary.stages["read"].dead == sum(line["records"] for line in told) == 1_202
    assert batches <= len(told) <= 6 * batches
    assert "this looks like one JSON array" in told[0]["error"]
    assert sum("JSON array" in line["error"] for line in told) == 1


@pytest.mark.parametrize("how", ["shortened", "replaced"])
async def test_a_run_whose_source_is_altered_in_the_middle_does_not_claim_success(lab: Lab, how: str) -> None:
    lab.records(range(2_000))
    lab.handlers("""
        import os
        from pathlib import Path

        FILE = Path(__file__).with_name("in.jsonl")

        def alter(record):
            if record["n"] == 0 and record["how"] == "shortened":
                os.truncate(FILE, 1_000)
            elif record["n"] == 0:
                FILE.with_name("new").write_text("{}")
                FILE.with_name("new").replace(FILE)
            return record
    """)
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        how: {{map: {{how: "'{how}'"}}}}
        alter: {{call: "handlers:alter"}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        """,
        top="max_backlog: 100",
    )

    with pytest.raises(SourceError, match=rf"in\.jsonl was {how} (by another file )?while it was"):
        await lab.run()

    read = lab.numbers("out/all.jsonl")
    assert read == list(range(len(read)))
    assert (len(read) == 2_000) is (how == "replaced")


async def test_half_a_line_is_read_whole_by_a_run_that_is_told_to_leave_it(lab: Lab) -> None:
    lab.spec(CSV.replace("types:", "final: false, types:"))
    write(lab, "in/a.csv", "n\n7\n1")
    with capture_logs() as logged:
        assert (await lab.run()).finished
    assert lab.numbers("out/all.jsonl") == [7]
    assert any(line.get("file") == "in/a.csv" for line in logged)

    write(lab, "in/a.csv", "n\n7\n11\n")
    assert (await lab.run()).finished

    assert lab.numbers("out/all.jsonl") == [7, 11]
