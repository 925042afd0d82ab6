"""merge.lua: partials merged in any order and grouping are those that Python makes of the whole."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import reduce
from importlib.resources import files
from typing import Any

import pytest

from rsq_pipe.model import distinct, exact_sum, extreme, sketch
from rsq_pipe.model.partials import KINDS, apart, letters, merged, merged_sessions, packed, unpacked
from rsq_pipe.streams.client import StreamClient

Merge = Callable[[bytes, bytes], Awaitable[bytes]]
Fold = Callable[[list[Any]], Any]

MERGE = (files("rsq_pipe.streams") / "scripts/merge.lua").read_text(encoding="utf-8")


def _number(draw: random.Random) -> Any:
    whole = [draw.randint(-5, 5), draw.choice([-1, 1]) * draw.randint(2**52, 2**70)]
    fractions = [draw.uniform(-1, 1), draw.uniform(-1, 1) * 10 ** draw.randint(-250, 280)]
    return draw.choice([*whole, *fractions, float(whole[0])])


def _text(draw: random.Random) -> str:
    return "".join(draw.choice("abzAZ09 äß€😀\0") for _ in range(draw.randint(0, 6)))


def _summed(values: list[Any]) -> Any:
    return exact_sum.summed(values, whole=all(type(value) is not float for value in values))


def _placed(choose: Callable[[Any, Any], Any]) -> Fold:
    return lambda values: reduce(choose, values, extreme.NOTHING)


def _distinct(values: list[Any]) -> Any:
    return distinct.distinct(str(value).encode() for value in values)


FOLDS: dict[str, tuple[Fold, Callable[[random.Random], Any]]] = {
    "count": (len, _number),
    "sum": (_summed, _number),
    "least": (extreme.least, lambda draw: draw.choice([_number, _text])(draw)),
    "greatest": (extreme.greatest, lambda draw: draw.choice([_number, _text])(draw)),
    "first": (
        _placed(extreme.merged_first),
        lambda draw: extreme.placed(draw.randint(-3, 3), f"read:{draw.randint(0, 20)}", _text(draw)),
    ),
    "last": (
        _placed(extreme.merged_last),
        lambda draw: extreme.placed(draw.randint(-3, 3), f"read:{draw.randint(0, 20)}", _text(draw)),
    ),
    "sketch": (sketch.sketched, _number),
    "distinct": (_distinct, lambda draw: draw.randint(0, 3_000)),
}


def told(kind: str, partial: Any) -> Any:
    """What a partial says, apart from how it says that."""
    if kind == "sum":
        return exact_sum.total(partial)
    if kind == "distinct" and partial[0] == 0:
        return sorted(partial[1][at : at + distinct.HASH] for at in range(0, len(partial[1]), distinct.HASH))
    return partial


@pytest.fixture
def merge(client: StreamClient) -> Callable[[str], Merge]:
    """Merge two partials of some kinds on the server."""

    def of(kinds: str) -> Merge:
        async def merge(one: bytes, other: bytes) -> bytes:
            script = f"{MERGE}\nreturn merged(ARGV[1], ARGV[2], ARGV[3])"
            reply: bytes = await client.channel.execute("EVAL", script, 0, kinds, one, other, key="")
            return reply

        return merge

    return of


async def in_any_grouping(merge: Merge, parts: list[bytes], draw: random.Random) -> bytes:
    while len(parts) > 1:
        one, other = (parts.pop(draw.randrange(len(parts))) for _ in range(2))
        parts.append(await merge(one, other))
    return parts[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(12))
async def test_the_server_merges_in_any_order_as_python_does(
    merge: Callable[[str], Merge], kind: str, seed: int
) -> None:
    draw = random.Random(f"{kind} {seed}")
    fold, value = FOLDS[kind]
    values = [value(draw) for _ in range(draw.choice([1, 10, 700, 2_000]))]
    parts: list[list[Any]] = [[] for _ in range(draw.randint(2, 15))]
    for one in values:
        draw.choice(parts).append(one)

    found = await in_any_grouping(merge(letters([kind])), [packed([fold(part)]) for part in parts], draw)

    (whole,) = unpacked(packed([fold(values)]))
    (by_server,) = unpacked(found)
    assert told(kind, by_server) == told(kind, whole)
    (by_python,) = reduce(
        lambda one, other: merged([kind], one, other), (unpacked(packed([fold(part)])) for part in parts)
    )
    assert told(kind, by_python) == told(kind, whole)


@pytest.mark.parametrize("seed", range(12))
async def test_sessions_are_merged_in_any_order_as_python_does(
    merge: Callable[[str], Merge], seed: int
) -> None:
    draw = random.Random(seed)
    times = [draw.randint(0, draw.choice([300, 3_000])) for _ in range(200)]

    def folded(places: list[int]) -> list[Any]:
        return [
            [times[some[0]], times[some[-1]], len(some), _summed([times[place] for place in some])]
            for some in apart(times, places, 10)
        ]

    parts: list[list[int]] = [[] for _ in range(draw.randint(2, 15))]
    for place in range(200):
        draw.choice(parts).append(place)

    found = await in_any_grouping(merge("10~cs"), [packed(folded(part)) for part in parts], draw)

    whole = unpacked(packed(folded(list(range(200)))))
    assert unpacked(found) == whole
    by_python = reduce(
        lambda one, other: merged_sessions(["count", "sum"], 10, one, other),
        (unpacked(packed(folded(part))) for part in parts),
    )
    assert unpacked(packed(by_python)) == whole


async def test_all_partials_of_a_group_are_merged_at_once(merge: Callable[[str], Merge]) -> None:
    kinds = ["count", "sum", "least", "first", "distinct", "sketch"]
    nothing = [0, [0], False, False, [0, b""], [0, [], []]]
    some = [2, [1, 5.0], b"a", [1, b"read:1", b"7"], distinct.distinct([b"x"]), sketch.sketched([1, 0, -1])]

    found = await merge(letters(kinds))(packed(nothing), packed(some))

    assert unpacked(found) == unpacked(packed(some))
