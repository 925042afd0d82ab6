"""What becomes of every record is the same whether stages run in one worker or with streams between them."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rsq_pipe.engine.fusion import fused
from rsq_pipe.spec.graph import Graph
from tests.unit.engine.dry_run import DryRun
from tests.unit.engine.given import pipeline

HANDLERS = '''
from collections import OrderedDict
from datetime import date
from decimal import Decimal

from pydantic import BaseModel

from rsq_pipe import Drop, Emit, Reject, Retry, batch_handler

SAME = {"n": 5, "k": "same"}


def odd(record, ctx):
    """Whatever a handler may do, by the number of the record."""
    n = record["n"]
    record["touched"] = True
    match n % 23:
        case 0: raise ValueError(n)
        case 1: return None
        case 2: return [{**record, "k": 1}, Emit({**record, "k": 2}, headers={"h": "1"}), {**record, "k": 3}]
        case 3: return {**record, "bad": object()}
        case 4: return [{**record, "k": 1}, {**record, "bad": object()}]
        case 5: return {**record, "day": date(2024, 1, 2), "d": Decimal("1.50"), "b": b"x"}
        case 6: return {**record, "pair": (1, (2, 3)), "set": {1}}
        case 7: return {**record, "text": "\\ud800"}
        case 8: return {**record, "x": float("nan")}
        case 9: return {**record, "x": [float("inf")]}
        case 10: return OrderedDict(record)
        case 11: return SAME
        case 12: return [SAME, SAME]
        case 13: return Reject("no")
        case 14: return Retry(0) if record.get("deep") else Drop("old")
        case 15: return {**record, "big": 2**70, "max": 2**64}
        case 16: return {**record, 5: "five"}
        case 17: return []
        case 18: return Emit({**record, "k": 4}, to="side")
        case 19: return {**record, "\\udcff": 1}
        case 20: return [SAME, Emit(SAME, to="side")]
        case 21: return {**record, "deep": {"list": [1, {"\\ud801": ()}]}}
        case _: return record


def later(record, ctx):
    """Sees what kinds of values it gets, and changes what it gets in place."""
    record["kinds"] = record.get("kinds", "") + ",".join(type(one).__name__[0] for one in record.values())
    for one in record.values():
        if isinstance(one, list):
            one.append("later")
    if record["n"] % 29 == 0:
        raise KeyError("later")
    return record


class Numbered(BaseModel):
    n: float
    day: date | None = None


@batch_handler
def together(records):
    return [later(record, None) for record in records]
'''

MAPS = [
    '{n: "n + 1"}',
    '{x: "1e308 * 10 if n % 9 == 0 else n / 4", gone: null}',
    '{copy: "deep", n: "n"}',
    "{text: \"str(n) + 'ä'\", deep: null}",
    '{n: "n", x: "missing if n % 12 == 0 else n"}',
    '{tags: "[n, [n, text]]"}',
]
SELECTS = [
    "[n, text, deep]",
    "{rename: {n: m, m: n}, missing: ignore}",
    "{drop: [text], missing: ignore}",
    "{drop: [x]}",
    "{keep: [n, deep.list, text], rename: {deep.list: list}, missing: ignore}",
    "{rename: {deep: text, text: deep}}",
    "{rename: {deep: x.deep}}",
]
KINDS = [
    "map",
    "map",
    "filter",
    "route",
    *["select", "explode", "validate", "lookup", "sql"] * 2,
    *["select", "explode", "validate", "sql"] * 2,
    "sample",
    *["call"] * 4,
]
EXPLODES = [
    "deep",
    "tags",
    "{field: tags, as: tag, index: i, keep: [n, tags, text]}",
    "{field: deep, as: item, index: k, empty: keep}",
    "{field: deep, as: x, keep: []}",
    "{field: x.deep, as: item}",
]
SCHEMA = '{"properties": {"n": {"minimum": 2}, "deep": {"type": ["array", "integer"]}}, "required": ["n"]}'
CHECKS = [
    "{fields: {n: int}}",
    "{fields: {n: float >= 3, text: str?, x: any?}, extra: drop}",
    "{fields: {n: int, deep: dict?, text: str? length < 6}, extra: reject}",
    "{schema: ../check.json}",
    "{schema: ../check.json, extra: drop}",
    "{model: 'handlers:Numbered'}",
]
TABLE = "\n".join(
    json.dumps({"n": n, "deep": {"list": [n, {"null": None}]}, "x": 2**64 + n if n % 2 else -0.0})
    for n in range(0, 150, 3)
)
LOOKUPS = [
    "{table: ../ref.jsonl, key: n, as: deep, missing: drop}",
    "{table: ../ref.jsonl, key: n, as: found}",
    "{table: ../ref.jsonl, key: n, fields: {deep: other, x: z2}}",
    "{table: ../ref.jsonl, key: 'n % 7', by: n, as: found, missing: reject}",
    "{table: ../names.csv, key: text, fields: [x]}",
    "{table: ../names.csv, key: text, as: text, missing: drop}",
    "{table: ../names.csv, key: [n, text], by: [x, text], as: row}",
]
SQL = [
    '"select *, n * 2 as twice from batch"',
    '"select n, text, deep, deep is null as none from batch where n % 4 <> 1"',
    "\"select n, unnest(cast(deep as json[])) as deep, {'a': [n], 't': text} as x from batch\"",
    '{query: "select * exclude (x) replace (n / 2 as n) from batch", types: {n: bigint}}',
    '"select n, 1e308 * n as x, tags from batch, range(2) where not (n > 90)"',
]
FILTERS = ["n % 3 != 1", "n % 10 > 0 or deep", "text != 'null'"]
OPTIONS = {"map": MAPS, "select": SELECTS, "explode": EXPLODES, "sample": ["70%"], "validate": CHECKS}
OPTIONS["lookup"] = LOOKUPS
OPTIONS["sql"] = SQL


def stages(draw: random.Random) -> Iterator[str]:
    """Write a random pipeline: a tree of stages below one source."""
    yield "read: {source: {type: jsonl, path: in.jsonl}}"
    open_ends, calls, names = ["read"], 0, iter(range(100))
    for _ in range(draw.randint(3, 9)):
        above = open_ends.pop(draw.randrange(len(open_ends)))
        name = f"s{next(names)}"
        kind = draw.choice(KINDS)
        start = f"{name}: {{from: {above}, "
        if kind == "filter":
            yield f'{start}filter: "{draw.choice(FILTERS)}"}}'
        elif kind in OPTIONS:
            yield f"{start}{kind}: {draw.choice(OPTIONS[kind])}, fuse: true}}"
        elif kind == "route":
            yield f'{start}route: [{{to: a, when: "n % 2 == 0"}}, {{to: b, otherwise: true}}]}}'
        else:
            calls += 1
            handler = draw.choice(["odd", "later", "together"])
            side = ", ports: [side]" if handler == "odd" else ""
            on_error = draw.choice(["dlq", "dlq", "drop"])
            yield f"{start}call: handlers:{handler}{side}, on_error: {on_error}, fuse: true}}"
            if handler == "odd":
                open_ends.append(f"{name}.side")
        open_ends += [f"{name}.a", f"{name}.b"] if kind == "route" else [name]
    for end in open_ends:
        yield f"end{next(names)}: {{from: {end}, sink: {{type: jsonl, path: out{next(names)}.jsonl}}}}"


def given(draw: random.Random) -> list[dict[str, Any]]:
    """Records as a source may bring them."""
    made = []
    for n in range(draw.choice([1, 30, 150])):
        record: dict[str, Any] = {"n": n, "text": draw.choice(["", "null", "ä\x00", "\U0001f600"]), "deep": 0}
        record |= draw.choice(
            [{}, {"deep": [n, {"null": None}]}, {"x": None}, {"x": -0.0, "y": 1e300}, {"z": 2**64 + n}]
        )
        made.append(record)
    return made


async def outcome(
    of: Graph, came: list[dict[str, Any]], seed: int, *, trouble: bool = False
) -> tuple[DryRun, dict[str, Any]]:
    run = DryRun(of, random.Random(seed), trouble=trouble)
    await run.run([dict(record, deep=_copy(record["deep"])) for record in came])
    between = ("appended:", "settled:")  # counts of the streams between stages, of which there are fewer
    counted = {name: count for name, count in run.counts.items() if not name.startswith(between)}
    return run, {
        "counts": counted,
        "drops": dict(run.drops),
        "dead": Counter(run.dead),
        "ended": Counter(run.ended),
    }


def _copy(value: Any) -> Any:
    return [value[0], dict(value[1])] if isinstance(value, list) else value


def _unfused(of: Graph) -> Graph:
    return replace(of, stages=tuple(replace(stage, fuse=False) for stage in of.stages))


@pytest.mark.parametrize("serializer", ["json", "msgpack"])
@pytest.mark.parametrize("seed", range(25))
async def test_records_become_the_same_fused_and_unfused(tmp_path: Path, seed: int, serializer: str) -> None:
    draw = random.Random(seed)
    (tmp_path / "check.json").write_text(SCHEMA)
    (tmp_path / "ref.jsonl").write_text(TABLE)
    (tmp_path / "names.csv").write_text("text,x\nnull,3\n\U0001f600,6\n")
    size = draw.choice([7, 200])
    of = replace(
        pipeline(
            tmp_path,
            "\n".join(stages(draw)),
            handlers=HANDLERS,
            defaults=f"defaults: {{batch: {{size: {size}}}}}",
        ),
        serializer=serializer,
    )
    came = given(draw)
    apart = _unfused(of)
    assert fused(of)
    assert not fused(apart)

    together_run, together = await outcome(of, came, seed)
    single_run, single = await outcome(apart, came, seed)

    assert together["counts"] == single["counts"]
    assert together["drops"] == single["drops"]
    assert together["dead"] == single["dead"]
    assert together["ended"] == single["ended"]
    _, troubled = await outcome(of, came, seed, trouble=True)
    assert troubled == together
    for run in (together_run, single_run):
        # All that was written for a stage has been settled by it.
        for name, count in run.counts.items():
            if name.startswith("settled:"):
                assert count == run.counts["appended:" + name.split(":", 2)[2]]


async def test_branches_that_meet_again_have_the_same_ids_fused_and_unfused(tmp_path: Path) -> None:
    text = """
    read: {source: {type: jsonl, path: in.jsonl}}
    a: {from: read, map: {n: n + 1}}
    b: {from: read, filter: n > 0}
    c: {from: b, map: {m: n}, to: {stream: all-orders}}
    d: {from: a, filter: "True", to: {stream: all-orders}}
    e: {from: read, route: [{to: odd, when: n % 2}, {to: even, otherwise: true}]}
    f: {from: e.odd, map: {f: n}}
    join: {from: [f, read], sink: {type: jsonl, path: out.jsonl}}
    rest: {from: e.even, sink: {type: jsonl, path: rest.jsonl}}
    """
    of = pipeline(tmp_path, text)
    came = [{"n": n, "deep": 0} for n in range(5)]

    run, together = await outcome(of, came, 1)
    _, apart = await outcome(_unfused(of), came, 1)

    assert together == apart
    assert fused(of) == {"c": "b", "d": "a", "f": "e"}
    published = [rid for stream, rid, _, _ in run.ended if stream == "all-orders"]
    assert len(set(published)) == len(published) == 9


@pytest.mark.parametrize("between", ["", 'between: {map: {m: "n"}}'])
async def test_a_handler_that_changes_one_child_changes_no_other(tmp_path: Path, between: str) -> None:
    text = f"""
    read: {{source: {{type: jsonl, path: in.jsonl}}}}
    first: {{call: handlers:together}}
    split: {{explode: {{field: items, as: item}}}}
    {between}
    change: {{call: handlers:later, fuse: true}}
    out: {{sink: {{type: jsonl, path: out.jsonl}}}}
    """
    of = pipeline(tmp_path, text, handlers=HANDLERS)
    came = [{"n": n, "deep": 0, "items": [1, 2, 3], "tags": ["a"]} for n in range(1, 4)]

    _, together = await outcome(of, came, 1)
    _, apart = await outcome(_unfused(of), came, 1)

    assert "change" in fused(of)
    assert together == apart
