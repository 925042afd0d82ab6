"""A state in memory, which tests of users run on, answers and changes as one on a server does."""

from __future__ import annotations

import random
from typing import Any

from rsq_pipe.model import partials
from rsq_pipe.model.state import EVICTED, KEYS, Fields, Known, Members, Page, Question, StateChange, Timers
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.settlement import Settlement, StateOf
from rsq_pipe.streams.state_reading import ask
from rsq_pipe.testing.state_in_memory import StateInMemory

SETS, HASHES, NAMES = ("s1", "s2"), ("h1", "h2"), [f"n{n}" for n in range(8)]
KINDS = partials.letters(["count"])
ROUNDS = 300


def some(draw: random.Random) -> list[str]:
    return draw.sample(NAMES, draw.randint(1, 4))


def made(draw: random.Random, turn: int) -> StateChange:
    """A change of anything; its first check tells it from its repetition."""
    change = StateChange(most=draw.choice((0, 0, 12)))
    change.equals("", {"turn": turn or None})
    for _ in range(draw.randint(0, 2)):
        match draw.choice(("equals", "lacks", "lengths")):
            case "equals":
                values: dict[str | bytes, Any] = {name: draw.choice((None, b"1")) for name in some(draw)[:1]}
                change.equals(draw.choice(HASHES), values)
            case "lacks":
                change.lacks(draw.choice(SETS), some(draw)[:2])
            case _:
                change.lengths(draw.choice(HASHES), {name: draw.choice((0, 1)) for name in some(draw)[:1]})
    for bucket in draw.sample(SETS, draw.randint(0, 2)):
        change.add(bucket, some(draw)) if draw.random() < 0.8 else change.unlink(bucket, evicted=True)
    for bucket in draw.sample(HASHES, draw.randint(0, 2)):
        match draw.choice(("set", "append", "delete", "unlink")):
            case "set":
                change.set(bucket, dict.fromkeys(some(draw), b"1"))
            case "append":
                change.append(bucket, dict.fromkeys(some(draw), b"2"))
            case "delete":
                change.delete(bucket, some(draw))
            case _:
                change.unlink(bucket)
    change.merge("m", KINDS, dict.fromkeys(some(draw), partials.packed([draw.randint(1, 9)])))
    change.timer({name: draw.randint(1, 99) for name in some(draw)}, only=draw.choice(("", "NX", "GT", "LT")))
    change.forget(some(draw)[:1])
    change.rise({"seen": draw.randint(1, 99)})
    change.count({"ticks": draw.randint(1, 3)})
    change.set("", {"turn": turn + 1})
    return change


async def test_the_same_changes_leave_the_same_and_are_refused_for_the_same(
    client: StreamClient, name: str
) -> None:
    draw = random.Random(7)
    at = StateOf(f"{{{name}}}:x:state", f"{{{name}}}:x:timers", StateChange())
    memory, turn, refused = StateInMemory(), 0, dict.fromkeys(("", "stale", "full"), 0)
    questions: tuple[Question, ...] = (
        Fields(("turn", KEYS, EVICTED, "seen", "ticks", "nothing")),
        *(Members(bucket, NAMES) for bucket in SETS),
        Known(SETS, NAMES),
        *(Fields(NAMES, bucket) for bucket in (*HASHES, "m")),
        *(Page(bucket) for bucket in HASHES),
        Timers(),
        Timers(50, 2),
    )
    for _ in range(ROUNDS):
        change = made(draw, turn)

        settled = await client.settle(Settlement(state=at._replace(change=change)), group="", consumer="")
        why = memory.settle(change)

        assert why == ("full" if settled.full else "stale" if settled.stale else "")
        turn += not why
        refused[why] += 1
        assert alike(await memory.ask(*questions)) == alike(await ask(client, at, questions))
    assert all(refused.values()), refused


def alike(answers: list[Any]) -> list[Any]:
    """Numbers that are not there yet are none: the server counts only what has changed."""
    scalars = [b"0" if value is None else value for value in answers[0]]
    return [scalars, *answers[1:]]
