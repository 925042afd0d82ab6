"""A field named "" can come from outside; it goes through all that does not name it."""

from __future__ import annotations

import pytest

from tests.integration.engine.lab import Lab


@pytest.mark.parametrize("fuse", ["true", "false"])
async def test_a_field_without_a_name_goes_through_every_stage_and_out(lab: Lab, fuse: str) -> None:
    (lab.root / "in.jsonl").write_text('{"": "odd", "n": 1, "lines": [1, 2]}\n')
    lab.spec(
        f"""
        read: {{source: {{type: jsonl, path: in.jsonl}}}}
        add: {{map: {{k: "n + 1"}}, fuse: {fuse}}}
        lines: {{explode: {{field: lines, as: line}}, fuse: {fuse}}}
        moved: {{select: {{rename: {{k: j}}}}, fuse: {fuse}}}
        once: {{dedupe: {{key: line, within: 1h}}}}
        out: {{sink: {{type: jsonl, path: out/all.jsonl}}}}
        table: {{from: once, sink: {{type: csv, path: out/all.csv}}}}
        """
    )

    await lab.run()

    assert lab.lines("out/all.jsonl") == [
        {"": "odd", "n": 1, "line": 1, "j": 2},
        {"": "odd", "n": 1, "line": 2, "j": 2},
    ]
    assert (lab.root / "out/all.csv").read_text().splitlines() == [",n,line,j", "odd,1,1,2", "odd,1,2,2"]
