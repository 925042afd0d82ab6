"""A record that is nested as deep as the stack allows goes on or is a dead letter: it never ends the run."""

from __future__ import annotations

import json
from bisect import bisect

import pytest

from tests.integration.engine.lab import READ
from tests.integration.engine.packed import PackedLab

OUT = "out: {sink: {type: jsonl, path: out/all.jsonl}}"

HANDLERS = """
    from rsq_pipe import batch_handler

    def nested(record):
        value = 1
        for _ in range(record.pop("deep", 0)):
            value = [value] if record["n"] % 4 else {"d": value}
        return {**record, "v": value}

    def same(record):
        return record

    def failing(record):
        if record["n"] % 3 == 0:
            raise ValueError("no")
        return record

    @batch_handler
    def batch(records):
        return [failing(record) for record in records]
"""

BELOW = {
    "call": "last: {call: 'handlers:failing'}",
    "batch": "last: {call: 'handlers:batch'}",
    "fused call": "last: {call: 'handlers:failing', fuse: true}",
    "fused map": "last: {map: {m: '60 / (n % 3)'}}",
    "sql": "last: {sql: 'select *, [v, v] as w from batch'}",
    "last of a group": "last: {aggregate: {by: [n], compute: {v: last(v)}}}",
}


def deepest() -> int:
    """Measure how many levels of lists can be written from here."""
    return bisect(range(100_000), 0, key=_is_too_deep) - 1


def _is_too_deep(levels: int) -> int:
    try:
        json.loads("[" * levels + "]" * levels)
    except RecursionError:
        return 1
    except ValueError:  # no levels
        return 0
    return 0


@pytest.mark.parametrize("kind", BELOW)
async def test_a_record_nested_as_deep_as_the_stack_allows_does_not_end_the_run(
    lab: PackedLab, kind: str
) -> None:
    depths = range(deepest() - 50, deepest() + 20)
    for deep in depths:
        lab.records([2 * deep], deep=deep)
        lab.records([2 * deep + 1])
    lab.handlers(HANDLERS)
    lab.spec(f"{READ}\nwork: {{call: 'handlers:nested'}}\n{BELOW[kind]}\n{OUT}", top="keep: 1h")

    summary = await lab.run()

    assert summary.finished
    letters = [one for stage in ("work", "last", "out") for one in await lab.dead_letters(stage)]
    done = lab.lines_so_far()
    assert len(done) + len(letters) == 2 * len(depths)
    assert not [one for one in letters if "rsq-pack" in one], "a neighbour went with it"


@pytest.mark.parametrize("kind", ["call", "fused call", "fused map"])
async def test_a_deep_line_of_a_file_does_not_end_the_run(lab: PackedLab, kind: str) -> None:
    depths = range(deepest() - 50, deepest() + 20)
    with (lab.root / "in.jsonl").open("w") as file:
        for n in depths:
            file.write(f'{{"n": {3 * n}, "v": {"[" * n}{"]" * n}}}\n{{"n": {3 * n + 1}}}\n')
    lab.handlers(HANDLERS)
    lab.spec(f"{READ}\nfirst: {{call: 'handlers:same'}}\n{BELOW[kind]}\n{OUT}")

    summary = await lab.run()

    assert summary.finished
    letters = [one for stage in ("read", "first", "last", "out") for one in await lab.dead_letters(stage)]
    assert len(lab.lines_so_far()) + len(letters) == 2 * len(depths)
