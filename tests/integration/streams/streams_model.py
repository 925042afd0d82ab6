"""StreamsModel: two streams that three consumers read, and what they must hold after whatever was done."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rsq_pipe.model.state import StateChange
from rsq_pipe.streams.client import StreamClient
from rsq_pipe.streams.redelivery import Rules
from rsq_pipe.streams.script import HAND_BACK, PROMOTE, TRIM
from rsq_pipe.streams.settlement import (
    Counters,
    Entry,
    Output,
    Part,
    Position,
    RetryAt,
    Rows,
    Settled,
    Settlement,
    StateOf,
    spelled_out,
)
from tests.support.consumers import GROUP

T = TypeVar("T")
Id = tuple[int, str]
"""The number of an input, and the id of an entry in it."""

INPUTS = st.sampled_from([0, 1])
CONSUMERS = st.sampled_from(["a", "b", "c"])
TARGETS = st.sampled_from(["out", "other"])
WRITES = st.sampled_from(["o", "o", "oo", "s", "s", "r", "d", "j", "dropped", "left", "", "osrdj"])
"""What an entry becomes, by the letters of settle.lua; or it is dropped, or leaves through a sink."""

WHOLE = st.sampled_from(["counts", "drops", "position", "state"])
"""What makes a settlement all or nothing."""


class StreamsModel(RuleBasedStateMachine):
    """Do anything to the streams, in any order, and compare them with lists and dicts after each step."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._client = StreamClient.from_url(self.url)
        self._tag = f"{{m-{uuid.uuid4().hex[:12]}}}"
        self._number = 0
        self._written: list[list[str]] = [[], []]  # the ids of all entries, by input
        self._read = [0, 0]  # how many of them were delivered
        self._deleted: set[Id] = set()
        self._trimmed: set[Id] = set()
        self._pending: dict[Id, tuple[str, int]] = {}  # owner and delivery count
        self._streams: dict[str, list[tuple[bytes, ...]]] = {
            name: [] for name in ("out", "other", "dlq", "again", "journal")
        }
        self._retries: dict[tuple[bytes, ...], bytes] = {}  # fields -> member
        self._meta: dict[str, int] = {}
        self._drops: dict[str, int] = {}
        self._position = self._state = ""
        self._last: tuple[Settlement, str] | None = None
        for at in (0, 1):
            self._do(self._client.create_group(self._input(at), GROUP))

    def teardown(self) -> None:
        self._do(self._client.close())
        self._runner.close()

    # What is done; preconditions leave out what would do nothing

    @initialize(consumers=st.permutations(["a", "b", "c"]))
    def begin(self, consumers: list[str]) -> None:
        for at in (0, 1):
            self.push(at, 6)
            for consumer in consumers[:2]:
                self.read(at, consumer, 2)

    @rule(at=INPUTS, count=st.integers(1, 6))
    def push(self, at: int, count: int) -> None:
        values = [self._value() for _ in range(count)]
        self._written[at] += self._do(self._client.push_many(self._input(at), values))

    @precondition(lambda self: any(len(self._written[at]) > self._read[at] for at in (0, 1)))
    @rule(at=INPUTS, consumer=CONSUMERS, count=st.integers(1, 8))
    def read(self, at: int, consumer: str, count: int) -> None:
        ahead = [one for one in self._written[at][self._read[at] :] if (at, one) not in self._deleted]
        found = self._do(self._client.read(self._input(at), GROUP, consumer, count))
        assert [message.id for message in found] == ahead[:count]
        for message in found:
            self._pending[at, message.id] = (consumer, 1)
            self._read[at] = self._written[at].index(message.id) + 1

    @rule(consumer=CONSUMERS, data=st.data())
    def take_over(self, consumer: str, data: st.DataObject) -> None:
        for at, one in self._some(data, 5):
            self._ask("XCLAIM", self._input(at), GROUP, consumer, 0, one, "JUSTID")
            if (at, one) in self._pending and not self._dropped_from_list((at, one)):
                self._pending[at, one] = (consumer, self._pending[at, one][1])

    @rule(at=INPUTS, consumer=CONSUMERS, data=st.data(), alone=st.integers(2, 4), isolate=st.integers(0, 4))
    def redeliver(self, at: int, consumer: str, data: st.DataObject, alone: int, isolate: int) -> None:
        ids = [one for place, one in self._some(data, 8) if place == at]
        rules = Rules(alone, isolate)
        again = self._do(self._client.redeliver(self._input(at), GROUP, consumer, ids, rules))
        found: list[tuple[str, int]] = []
        dealt = 0
        for one in ids:
            owner, count = self._pending.get((at, one), ("", 0))
            is_alone = owner == consumer and count + 1 >= alone
            if owner == consumer:
                if count + 1 == isolate or (is_alone and found):
                    break
                if not self._dropped_from_list((at, one)):
                    self._pending[at, one] = (consumer, count + 1)
                    found.append((one, count + 1))
            dealt += 1
            if is_alone:
                break
        assert (again.dealt, [(entry.id, entry.deliveries) for entry in again.entries]) == (dealt, found)

    @rule(at=INPUTS, consumer=CONSUMERS, uncounted=st.integers(0, 2))
    def hand_back(self, at: int, consumer: str, uncounted: int) -> None:
        args: list[str | bytes | int] = [GROUP, consumer, 1_000_000, uncounted]
        handed = self._do(self._client.channel.run(HAND_BACK, [self._input(at)], args))
        own = [one for one, (owner, _) in self._pending.items() if one[0] == at and owner == consumer]
        assert handed == len(own)
        for one in own:
            count = self._pending[one][1]
            if not self._dropped_from_list(one) and uncounted and count >= uncounted:
                self._pending[one] = (consumer, count - 1)

    @rule(at=INPUTS, data=st.data())
    def delete(self, at: int, data: st.DataObject) -> None:
        if there := self._there(at):
            one = data.draw(st.sampled_from(there))
            self._ask("XDEL", self._input(at), one)
            self._deleted.add((at, one))

    @rule(at=INPUTS)
    def trim(self, at: int) -> None:
        self._do(self._client.channel.run(TRIM, [self._input(at)], [0, "=", GROUP]))
        ids = self._written[at]
        needed = [place for place, one in enumerate(ids) if (at, one) in self._pending]
        self._trimmed |= {(at, one) for one in ids[: min([*needed, self._read[at]])]} - self._deleted

    @precondition(lambda self: self._retries)
    @rule(most=st.integers(1, 5))
    def promote(self, most: int) -> None:
        keys = [self._key("retry"), self._key("again")]
        moved, _ = self._do(self._client.channel.run(PROMOTE, keys, [most]))
        assert moved == min(most, len(self._retries))
        for fields in self._entries("again")[len(self._streams["again"]) :]:
            del self._retries[fields]
            self._streams["again"].append(fields)

    @rule()
    def flush_scripts(self) -> None:
        self._ask("SCRIPT", "FLUSH")

    @precondition(lambda self: self._pending)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        self._settle_own(data, "")

    @precondition(lambda self: self._pending)
    @rule(data=st.data(), whole=WHOLE)
    def settle_as_a_whole(self, data: st.DataObject, whole: str) -> None:
        self._settle_own(data, whole)

    @rule(consumer=CONSUMERS, data=st.data(), whole=st.just("") | WHOLE)
    def settle_what_others_may_have(self, consumer: str, data: st.DataObject, whole: str) -> None:
        entries = self._some(data, 6)
        self._settle_parts(data, consumer, entries, whole, right=False)

    @precondition(lambda self: self._last)
    @rule()
    def settle_again(self) -> None:
        assert self._last is not None
        self._settle(*self._last)

    def _settle_own(self, data: st.DataObject, whole: str) -> None:
        consumer = data.draw(st.sampled_from(sorted({owner for owner, _ in self._pending.values()})))
        held = [one for one, (owner, _) in self._pending.items() if owner == consumer]
        self._settle_parts(data, consumer, self._some(data, 10, held), whole, right=True)

    def _settle_parts(
        self, data: st.DataObject, consumer: str, entries: Sequence[Id], whole: str, *, right: bool
    ) -> None:
        settlement = Settlement(kept=100_000)
        while entries:
            size = data.draw(st.integers(1, 3))
            settlement.parts.append(self._part(data, entries[:size], right=right))
            entries = entries[size:]
        if data.draw(st.booleans()):
            settlement.counters = Counters(self._key("meta"), "c.")
        match whole:
            case "counts":
                settlement.counts = {self._key("meta"): {"n": len(settlement.parts), "m": 2}}
            case "drops":
                settlement.drops = {self._key("drops"): {"old": 1, data.draw(st.sampled_from("xyz")): 2}}
            case "position":
                was, new = data.draw(st.sampled_from([self._position] * 3 + ["p0"])), self._value().decode()
                settlement.position = Position(self._key("meta"), "at", was, new)
            case "state":
                change, was = StateChange(), data.draw(st.sampled_from([self._state] * 3 + ["s0"]))
                change.equals("", {"seen": was or None})
                change.set("", {"seen": self._value()})
                settlement.state = StateOf(self._key("state"), self._key("timers"), change)
        self._last = (settlement, consumer)
        self._settle(*self._last)

    def _part(self, data: st.DataObject, some: Sequence[Id], *, right: bool) -> Part:
        """Decide what some entries become; `right`: with the delivery counts that they have."""
        part = Part([])
        for at, one in some:
            count = self._pending.get((at, one), ("", 1))[1]
            if not right:
                count = data.draw(st.sampled_from([count, 0, count + 1]))
            part.entries = [*part.entries, Entry(self._input(at), one, count)]
        fields: list[str | bytes] = ["data", self._value()]
        if data.draw(st.booleans()):
            fields += ["h", self._value()]
        target, writes = self._key(data.draw(TARGETS)), data.draw(WRITES)
        if writes == "dropped":
            part.dropped = 1
        elif writes == "left":
            part.delivered = 2
        else:
            part.outputs = [Output(target, fields)] * writes.count("o")
            if "s" in writes:
                part.rows = [Rows(target, ["data", "h"], [self._value() for _ in range(2 * len(some))])]
            part.retries = [RetryAt(self._key("retry"), 0, fields, "origin")] * writes.count("r")
            part.dead = [Output(self._key("dlq"), fields)] * writes.count("d")
            part.notes = [Output(self._key("journal"), fields)] * writes.count("j")
        return part

    def _settle(self, settlement: Settlement, consumer: str) -> None:
        """Settle, and note what must become of it."""
        found = self._do(self._client.settle(settlement, group=GROUP, consumer=consumer))
        position, state = settlement.position, settlement.state
        if position is not None and position.expected != self._position:
            is_repeated = position.new == self._position
            refused = Settled((), settlement.parts, refused=self._position)
            assert found == (Settled(settlement.parts) if is_repeated else refused)
            return
        lost = [
            [entry for entry in part.entries if not self._owns(entry, consumer)] for part in settlement.parts
        ]
        gone = frozenset((entry.stream, entry.id) for entries in lost for entry in entries)
        if gone and (position or state or settlement.counts or settlement.drops):
            assert found == Settled((), settlement.parts, gone=gone)
            return
        if state is not None and [*state.change.checks[0].words[1:]] != [self._state] * bool(self._state):
            assert found == Settled((), stale=True)
            return
        committed = [part for part, entries in zip(settlement.parts, lost, strict=True) if not entries]
        assert (list(found.committed), found.gone) == (committed, gone)
        assert len(found.fenced) == len(settlement.parts) - len(committed)
        self._note(settlement, committed)
        counts = settlement.counts.get(self._key("meta"), {})
        assert found.totals == {name: self._meta[name] for name in counts}

    def _note(self, settlement: Settlement, parts: Sequence[Part]) -> None:
        """Note what a settlement has written, and that its entries are no longer pending."""
        tally = dict.fromkeys(("in", "out", "dropped", "retried", "dead"), 0)
        for part in parts:
            outputs = [*spelled_out((), part.rows), *part.outputs]
            for out in (*outputs, *part.dead, *part.notes):
                self._streams[out.stream.rpartition(":")[2]].append(_bytes(out.fields))
            for retry in part.retries:
                self._retries[_bytes(retry.fields)] = retry.member
            for entry in part.entries:
                del self._pending[int(entry.stream[-1]), entry.id]
            tally["in"] += len(part.entries)
            tally["out"] += len(outputs) + part.delivered
            tally["dropped"] += part.dropped
            tally["retried"] += len(part.retries)
            tally["dead"] += len(part.dead)
        if settlement.counters is not None:
            _add(self._meta, {f"c.{name}": count for name, count in tally.items() if count})
        for counts in settlement.counts.values():
            _add(self._meta, counts)
        for reasons in settlement.drops.values():
            _add(self._drops, reasons)
        if settlement.position is not None:
            self._position = settlement.position.new
        if settlement.state is not None:
            self._state = _bytes(settlement.state.change.writes[0].words)[1].decode()

    # What must hold

    @invariant()
    def streams_hold_what_was_written(self) -> None:
        for name, entries in self._streams.items():
            assert self._entries(name) == entries, name
        for at in (0, 1):
            found = self._ask("XRANGE", self._input(at), "-", "+")
            assert [entry.decode() for entry, _ in found] == self._there(at)
        assert {*map(bytes, self._ask("ZRANGE", self._key("retry"), 0, -1))} == {*self._retries.values()}

    @invariant()
    def entries_are_pending_for_their_owners(self) -> None:
        for at in (0, 1):
            found = self._ask("XPENDING", self._input(at), GROUP, "-", "+", 1_000)
            listed = {(at, one[0].decode()): (one[1].decode(), one[3]) for one in found}
            assert listed == {one: held for one, held in self._pending.items() if one[0] == at}

    @invariant()
    def counts_are_those_of_what_was_settled(self) -> None:
        meta = self._hash("meta")
        assert meta.pop("at", "") == self._position
        assert meta == {name: str(count) for name, count in self._meta.items()}
        assert self._hash("drops") == {name: str(count) for name, count in self._drops.items()}
        assert self._hash("state").get("seen", "") == self._state

    def _there(self, at: int) -> list[str]:
        away = self._deleted | self._trimmed
        return [one for one in self._written[at] if (at, one) not in away]

    def _owns(self, entry: Any, consumer: str) -> bool:
        owner, count = self._pending.get((int(entry.stream[-1]), entry.id), ("", 0))
        return owner == consumer and entry.deliveries in {0, count}

    def _dropped_from_list(self, one: Id) -> bool:
        """Whether XCLAIM has found that a pending entry was deleted: then it is pending no more."""
        return one in self._deleted and self._pending.pop(one, None) is not None

    # The server

    def _some(self, data: st.DataObject, most: int, among: Sequence[Id] | None = None) -> list[Id]:
        """Choose entries in any order, each once: of these, or of all that were delivered at some time."""
        if among is None:
            among = [(at, one) for at in (0, 1) for one in self._written[at][: self._read[at]]]
        if not among:
            return []
        return data.draw(st.lists(st.sampled_from(among), min_size=1, max_size=most, unique=True))

    def _value(self) -> bytes:
        self._number += 1
        return f"v{self._number}".encode()

    def _key(self, name: str) -> str:
        return f"{self._tag}:{name}"

    def _input(self, at: int) -> str:
        return self._key(f"in{at}")

    def _entries(self, name: str) -> list[tuple[bytes, ...]]:
        return [tuple(fields) for _, fields in self._ask("XRANGE", self._key(name), "-", "+")]

    def _hash(self, name: str) -> dict[str, str]:
        return dict(_pairs([word.decode() for word in self._ask("HGETALL", self._key(name))]))

    def _ask(self, *command: str | bytes | float) -> Any:
        return self._do(self._client.channel.execute(*command, key=self._key("meta")))

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)


def _pairs(words: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [*zip(words[::2], words[1::2], strict=True)]


def _bytes(words: Collection[Any]) -> tuple[bytes, ...]:
    return tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)


def _add(numbers: dict[str, int], amounts: Mapping[str, int]) -> None:
    for name, amount in amounts.items():
        numbers[name] = numbers.get(name, 0) + amount
