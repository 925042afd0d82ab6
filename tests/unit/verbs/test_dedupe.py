"""dedupe: the first record of each key goes on, for as long as the key is remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rsq_pipe.model.outcome import Drop, Failure, Outcomes
from rsq_pipe.model.state import Question
from rsq_pipe.spec.document import Document
from rsq_pipe.spec.record_key import RecordKey, read_key
from rsq_pipe.spec.stages.dedupe import Deduplication
from rsq_pipe.testing import run_stage
from rsq_pipe.testing.state_in_memory import StateInMemory
from rsq_pipe.verbs.dedupe import Dedupe
from rsq_pipe.verbs.members import SIZE, member_maker
from tests.support.project import Project
from tests.unit.verbs.given import batch, each

HOUR = 3_600_000


def key(of: Any) -> RecordKey:
    found = read_key(Document("x.yaml"), of, ())
    assert found is not None
    return found


class Watched(StateInMemory):
    """A state that counts the looks at it."""

    looks = 0
    now = 1_000_000_000

    def __init__(self) -> None:
        super().__init__(lambda: self.now)

    async def ask(self, *questions: Question) -> list[Any]:
        self.looks += 1
        return await super().ask(*questions)


class Once:
    """A stage that remembers, its batches settled one after another."""

    def __init__(self, state: Watched | None = None, **options: Any) -> None:
        self.state = state or Watched()
        self.verb = Dedupe("once", Deduplication(key("id"), **options), self.state)

    async def new(self, *ids: Any) -> list[Any]:
        """The keys that go on."""
        found = await self.decided(*ids)
        assert self.settled(found) == ""
        return [record["id"] for record in found.emitted[""].records] if found.emitted else []

    async def decided(self, *ids: Any) -> Outcomes:
        return await self.verb.process(batch(*({"id": one} for one in ids)))

    def settled(self, found: Outcomes) -> str:
        return self.state.settle(found.state) if found.state is not None else ""

    @property
    def held(self) -> list[int]:
        """How many keys each bucket holds, the oldest first."""
        return [len(self.state.sets[name]) for name in sorted(self.state.sets, key=int)]


async def test_the_first_record_of_a_key_goes_on_and_the_others_are_counted_drops() -> None:
    given = batch(*({"id": one} for one in ("a", "b", "a", "c", "b", "a")))

    outcome = each(given, await Once().verb.process(given))

    assert outcome == [{"id": "a"}, {"id": "b"}, Drop("duplicate"), {"id": "c"}, *[Drop("duplicate")] * 2]


async def test_a_key_is_known_again_in_a_later_batch_and_by_another_worker() -> None:
    one = Once()
    other = Once(one.state)

    assert await one.new("a", "b") == ["a", "b"]
    assert await one.new("b", "c") == ["c"]
    assert await other.new("c", "a", "d") == ["d"]


async def test_a_batch_takes_one_look_at_the_state_and_a_new_bucket_a_second_one() -> None:
    once = Once(within=3_600.0)
    looks = []
    for n in range(4):
        before = once.state.looks
        await once.new(n)
        looks.append(once.state.looks - before)

    assert looks == [1, 2, 1, 1]


async def test_where_another_worker_was_faster_the_batch_is_decided_again() -> None:
    one = Once(within=3_600.0)
    other = Once(one.state, within=3_600.0)
    await one.new("old")

    mine, its = await one.decided("k", "mine"), await other.decided("k", "its")

    assert (one.settled(mine), other.settled(its)) == ("", "stale")
    assert await other.new("k", "its") == ["its"]


async def test_where_another_worker_began_a_bucket_meanwhile_the_batch_is_decided_again() -> None:
    one = Once(within=3_600.0)
    other = Once(one.state, within=3_600.0)
    await one.new("old")
    mine = await one.decided("k")
    one.state.now += HOUR // 8

    assert await other.new("k") == ["k"]
    assert one.settled(mine) == "stale"
    assert await one.new("k") == []


async def test_a_key_is_remembered_for_within_and_up_to_an_eighth_longer() -> None:
    once = Once(within=3_600.0)
    assert await once.new("a") == ["a"]
    once.state.now += HOUR // 8 - 1
    assert await once.new("b") == ["b"]  # in the same bucket
    once.state.now += HOUR
    assert await once.new("a", "b") == []
    once.state.now += 1
    assert await once.new("a", "b") == ["a", "b"]


async def test_what_is_due_is_forgotten_in_passing_and_the_count_follows() -> None:
    once = Once(within=3_600.0)
    for n in range(30):
        await once.new(*(f"{n}.{k}" for k in range(10)))
        once.state.now += HOUR // 8

    assert (once.held, once.state.hashes[""][b"keys"]) == ([10] * 9, b"90")
    once.state.now += 2 * HOUR
    await once.new("29.0")
    assert (once.held, list(once.state.timers)) == ([1], ["31"])
    once.state.now += 2 * HOUR
    assert await once.new("29.0") == ["29.0"]


async def test_a_key_without_within_is_remembered_for_ever() -> None:
    once = Once()
    await once.new("a")
    once.state.now += 1_000 * 24 * HOUR

    assert await once.new("a", "b") == ["b"]
    assert once.held == [2]


@pytest.mark.parametrize(("before", "after"), [(None, 3_600.0), (36_000.0, 3_600.0), (3_600.0, None)])
async def test_within_may_be_changed(before: float | None, after: float | None) -> None:
    old = Once(within=before)
    await old.new("a")
    old.state.now += HOUR // 4
    new = Once(old.state, within=after)

    assert await new.new("a", "b") == ["b"]
    new.state.now += HOUR + HOUR // 8
    assert await new.new("b") == (["b"] if after else [])


async def test_more_than_max_keys_are_refused_and_nothing_is_written() -> None:
    once = Once(max_keys=3)
    await once.new("a", "b")

    assert once.settled(await once.decided("c", "d")) == "full"
    assert once.held == [2]
    assert await once.new("a", "c") == ["c"]


async def test_the_oldest_are_forgotten_where_that_is_asked_for() -> None:
    once = Once(max_keys=800, evicts=True)
    for n in range(0, 3_000, 50):
        assert await once.new(*range(n, n + 50)) == list(range(n, n + 50))

    assert once.held == [100] * 8
    assert once.state.hashes[""][b"evicted"] == b"2200"
    assert await once.new(*range(2_200, 3_000, 10)) == []
    assert await once.new(2_199) == [2_199]


async def test_a_batch_larger_than_max_keys_is_taken_where_the_oldest_are_forgotten() -> None:
    once = Once(max_keys=10, evicts=True)

    assert await once.new(*range(50)) == list(range(50))
    assert await once.new(*range(45, 95)) == list(range(50, 95))
    assert once.held == [45]


async def test_a_key_that_is_misspelt_is_told_with_the_field_that_may_be_meant() -> None:
    given = batch({"order": {"idd": 1}, "a": 1})

    (failed,) = each(given, await Dedupe("once", Deduplication(key("order.id")), Watched()).process(given))

    told = "field 'order.id' is not in the record; did you mean 'order.idd'?"
    assert str(failed.error).endswith(told)


async def test_a_record_without_a_key_fails_alone() -> None:
    given = batch({"id": 1}, {"other": 1}, {"id": None}, {"id": 2})

    first, missing, null, last = each(given, await Once().verb.process(given))

    assert (first, last) == ({"id": 1}, {"id": 2})
    assert isinstance(missing, Failure)
    assert isinstance(null, Failure)
    assert str(missing.error) == "stage 'once': dedupe.key: field 'id' is not in the record"
    assert "the key is null" in str(null.error)
    assert not missing.retryable


@pytest.mark.parametrize(
    ("of", "alike", "others"),
    [
        ("id", [{"id": 1}, {"id": 1.0}], [{"id": "1"}, {"id": True}, {"id": 1.5}, {"id": [1]}]),
        ("id", [{"id": {"a": 1, "b": [2.0]}}, {"id": {"b": [2], "a": 1.0}}], [{"id": {"a": 1}}]),
        ("customer.id", [{"customer": {"id": 7}}, {"customer": {"id": 7, "x": 1}}], []),
        (
            ["a", "b"],
            [{"a": 1, "b": None}, {"a": 1.0, "b": None}],
            [{"a": None, "b": 1}, {"a": "1", "b": ""}],
        ),
        ("lower(name)", [{"name": "Jo"}, {"name": "JO"}], [{"name": "Jon"}]),
        ("id", [{"id": "x" * 100}], [{"id": "x" * 101}, {"id": "y" * 100}]),
        ("id", [{"id": 0}, {"id": -0.0}], [{"id": False}, {"id": ""}]),
    ],
)
def test_keys_are_alike_by_their_values(of: Any, alike: list[Any], others: list[Any]) -> None:
    member = member_maker(key(of))

    assert len({member(record) for record in alike}) == 1
    assert len({member(record) for record in [*alike, *others]}) == 1 + len(others)
    assert all(len(member(record)) <= SIZE for record in [*alike, *others])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1.0, float("nan")], "\ud800"])
def test_what_is_no_value_of_json_is_no_key(value: Any) -> None:
    with pytest.raises(ValueError):
        member_maker(key("id"))({"id": value})


def test_a_stage_that_remembers_is_tried_without_a_server(tmp_path: Path) -> None:
    project = Project(tmp_path, "orders")
    (project.root / "in.jsonl").touch()
    spec = project.spec(
        "read: {source: {type: jsonl, path: in.jsonl}}\n"
        "once: {dedupe: {key: id, within: 1h, max_keys: 5}}\n"
        "out: {sink: {type: jsonl, path: out.jsonl}}"
    )
    records = [{"id": n % 3, "n": n} for n in range(10)]

    run = run_stage(spec, "once", records)

    assert [record["n"] for record in run.records] == [0, 1, 2]
    assert [record["n"] for record in run.dropped] == list(range(3, 10))
    full = run_stage(spec, "once", [{"id": n} for n in range(10)])
    assert full.records == []
    assert "5 keys at most, its `max_keys`" in str(full.halted)


@pytest.mark.parametrize("settled_first", [True, False])
async def test_keys_of_a_batch_that_is_being_settled_are_known_whether_they_can_be_read_or_not(
    settled_first: bool,
) -> None:
    once = Once(within=3_600.0)
    await once.new("old")
    first = await once.decided("a", "b")
    once.verb.assume(first.state)
    if settled_first:
        assert once.settled(first) == ""

    second = await once.decided("b", "c", "old")

    assert settled_first or once.settled(first) == ""
    assert [record["id"] for record in second.emitted[""].records] == ["c"]
    assert once.settled(second) == ""


async def test_keys_of_a_batch_that_was_not_settled_are_forgotten() -> None:
    once = Once(within=3_600.0)
    await once.new("old")
    once.verb.assume((await once.decided("a")).state)
    once.verb.assume(None)

    assert await once.new("a") == ["a"]
