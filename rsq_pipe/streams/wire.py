"""The wire form of a settlement: settle.lua's keys and arguments, and its reply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count, groupby, pairwise
from operator import attrgetter
from typing import Any, TypeAlias

from rsq_pipe.model.delivery import Delivered
from rsq_pipe.streams.dead_letter import writable
from rsq_pipe.streams.entry import MAX_FIELDS
from rsq_pipe.streams.script import INGEST, SETTLE, Script
from rsq_pipe.streams.settlement import (
    MAX_ENTRIES,
    MAX_REASON,
    MAX_REASONS,
    OTHER_REASONS,
    Counters,
    Output,
    Part,
    Position,
    Rows,
    Settled,
    Settlement,
    StateOf,
)

ROOM = 50
"""Fields beyond the limit that a dead letter, or a record of our own, may add."""

_MOST_WORDS = 2 * (MAX_FIELDS + ROOM)
"""Names and values of an entry: a missing one, or too many, would stop the script amid its writes."""

_ID, _RUN = attrgetter("id"), attrgetter("stream", "deliveries")

_Word: TypeAlias = str | bytes | int


def pack(settlement: Settlement, group: str, consumer: str) -> tuple[Script, list[str], list[_Word]]:
    """
    Choose the script for a settlement, and build its keys and arguments.

    Raises:
        ValueError: An entry is in two parts, there are more than MAX_ENTRIES, a key would hold two types, or
            sending the settlement again would write it again.
    """
    arguments, parts = _Arguments(), settlement.parts
    for part in parts:
        if len(parts) > 1 and part.is_one_to_one:
            arguments.add_to_run(part.entries[0], part.outputs[0])
        else:
            arguments.add(part)
    total = sum(map(len, arguments.ids.values()))
    if total > MAX_ENTRIES or any(len({*ids}) < len(ids) for ids in arguments.ids.values()):
        raise _wrong_entries(arguments.ids, total)
    places, written = arguments.places, arguments.written
    head: list[_Word] = [group, consumer, settlement.kept]
    head += _counters(settlement.counters, arguments) if settlement.counters else [0, ""]
    drops = {key: _named(reasons) for key, reasons in settlement.drops.items()}
    # Plain counts, then counts by reason: a hash has a limited number of reasons by name.
    for before, counted in (((), settlement.counts), ((MAX_REASONS, OTHER_REASONS), drops)):
        head += (*before, len(counted))
        for key, amounts in counted.items():
            written.add((key, "hash"))
            head += (places[key], len(amounts))
            for pair in amounts.items():
                head += pair
    head += _position(settlement.position, arguments) if settlement.position else [0, "", "", ""]
    state = _state(settlement.state, arguments) if settlement.state else [0]
    # Only now are all keys known.
    if len(dict(written)) < len(written):
        raise _two_kinds(written)
    head.append(len(written))
    for key, kind in written:
        head += (places[key], kind)
    head.append(len(arguments.ids))
    for stream, ids in arguments.ids.items():
        head += (places[stream], len(ids))
    # A settlement that only adds entries may not write to a full server, any other may.
    drains = arguments.ids or settlement.state is not None or not any(part.adds for part in parts)
    return SETTLE if drains else INGEST, [*places], head + state + arguments.body


def _wrong_entries(ids: Mapping[str, Sequence[str]], total: int) -> ValueError:
    for stream, some in ids.items():
        if len(set(some)) < len(some):
            return ValueError(f"an entry of {stream!r} appears twice in a settlement; give it one part")
    # The script would take too long for them.
    return ValueError(f"a settlement of {total} entries; the bound is {MAX_ENTRIES}")


def _two_kinds(written: Iterable[tuple[str, str]]) -> ValueError:
    (key, one), (_, other) = next(pair for pair in pairwise(sorted(written)) if pair[0][0] == pair[1][0])
    return ValueError(f"a settlement writes a {one} and a {other} to the key {key!r}")


class _Arguments:
    """
    Collect the parts of a settlement, and the keys and ids they name. On the hot path: every record.

    `places` numbers each key at its first occurrence. Every key written is added to `written`, with the type
    of its value: the server checks the types before it writes anything.
    """

    def __init__(self) -> None:
        self.places: defaultdict[str, int] = defaultdict(count(1).__next__)
        self.written: set[tuple[str, str]] = set()
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        self.body: list[_Word] = []
        self._alike: tuple[str, str, int, Sequence[str | bytes]] | None = None
        self._size_at = 0

    def add(self, part: Part) -> None:
        """Add a part: its entries, grouped by stream and delivery count, mostly one group, and its writes."""
        self._alike = None
        body, places, written = self.body, self.places, self.written
        runs = [(*run, [*map(_ID, entries)]) for run, entries in groupby(part.entries, _RUN)]
        body.append(len(runs))
        for stream, deliveries, ids in runs:
            self.ids[stream] += ids
            body += (places[stream], deliveries, len(ids), *ids)
        writes = sum(map(len, (part.rows, part.outputs, part.retries, part.dead, part.notes)))
        body += (part.dropped, part.delivered, writes)
        for rows in part.rows:
            width = _whole(rows)
            written.add((rows.stream, "stream"))
            body += ("s", places[rows.stream], len(rows.values) // width, width, *rows.names)
            body += rows.values
        for retry in part.retries:
            written.add((retry.key, "zset"))
            body += ("r", places[retry.key], retry.delay, retry.member)
        for kind, outputs in (("o", part.outputs), ("d", part.dead), ("j", part.notes)):
            for stream, fields in outputs:
                size = len(fields)
                if size % 2 or not 2 <= size <= _MOST_WORDS:
                    raise _wrong_fields(size)
                written.add((stream, "stream"))
                body += (kind, places[stream], size)
                body += fields

    def add_to_run(self, entry: Delivered, output: Output) -> None:
        """
        Add one of several parts that have one entry and one output, as a handler of the library returns.

        Adjacent parts of this kind differ only in id, count and values, and only these are sent again: 4
        arguments per record rather than 15, which is a fifth of a settlement's cost on the server.
        """
        stream = entry.stream
        target, fields = output
        names = fields[::2]
        alike = (stream, target, len(fields), names)
        if alike != self._alike:
            if len(fields) % 2 or not 2 <= len(fields) <= _MOST_WORDS:
                raise _wrong_fields(len(fields))
            self.written.add((target, "stream"))
            self.body += ("*", self.places[stream], self.places[target], len(names), *names, 0)
            self._alike, self._size_at = alike, len(self.body) - 1
        self.ids[stream].append(entry.id)
        self.body[self._size_at] += 1  # type: ignore[operator]  # the size of the run, put there above
        self.body += (entry.id, entry.deliveries)
        self.body += fields[1::2]


def _whole(rows: Rows) -> int:
    """Count the names of rows: a missing value would stop the script amid its writes."""
    width = len(rows.names)
    if not 1 <= width <= MAX_FIELDS + ROOM or len(rows.values) % width:
        raise ValueError(f"rows of {width:,} names have {len(rows.values):,} values")
    return width


def _wrong_fields(size: int) -> ValueError:
    if size < 2 or size % 2:
        return ValueError(f"an output has {size} names and values; they come in pairs")
    return ValueError(f"an output has {size // 2:,} fields; the bound is {MAX_FIELDS:,}")


def _counters(counters: Counters, arguments: _Arguments) -> list[_Word]:
    arguments.written.add((counters.key, "hash"))
    return [arguments.places[counters.key], counters.prefix]


def _position(position: Position, arguments: _Arguments) -> list[_Word]:
    if position.new == position.expected and arguments.written and not arguments.ids:
        # The script could not detect that it was already applied.
        raise ValueError(f"position {position.field!r} does not move, so a repetition would write again")
    arguments.written.add((position.key, "hash"))
    return [arguments.places[position.key], position.field, position.expected, position.new]


_KINDS = {"lacks": "set", "add": "set", "timer": "zset", "forget": "zset"}
"""Checks and writes of a state by the type of their key; those of a hash are left out."""


def _state(state: StateOf, arguments: _Arguments) -> list[_Word]:
    change = state.change
    if not arguments.ids and not change.checks:
        # The script could not detect that it was already applied.
        raise ValueError(f"a change of {state.key!r} checks nothing, so a repetition would write again")
    places, written = arguments.places, arguments.written
    written |= {(state.key, "hash"), (state.timers, "zset")}
    words: list[_Word] = [
        *(places[state.key], places[state.timers], change.most),
        *(len(change.checks), len(change.writes)),
    ]
    for op in (*change.checks, *change.writes):
        if op.kind in {"unlink", "evict"}:
            words += (op.kind, places[state.bucket(op.bucket)], op.bucket, 0)
            continue
        kind = _KINDS.get(op.kind, "hash")
        key = state.timers if kind == "zset" else state.bucket(op.bucket)
        written.add((key, kind))
        words += (op.kind, places[key], op.extra, len(op.words))
        words += op.words
    return words


def _named(reasons: Mapping[str, int]) -> dict[str, int]:
    """Turn each reason into one short line, whatever a handler returned; empty ones count as unnamed."""
    named: dict[str, int] = {}
    for reason, amount in reasons.items():
        name = " ".join(writable(reason).split())[:MAX_REASON]
        if name:
            named[name] = named.get(name, 0) + amount
    return named


def is_whole(settlement: Settlement) -> bool:
    """Return whether the atom is all or nothing: what it moves or counts belongs to all its entries."""
    moves = settlement.position is not None or settlement.state is not None
    return moves or bool(settlement.counts) or bool(settlement.drops)


def unpack(reply: Any, settlement: Settlement) -> Settled:
    """Read settle.lua's reply."""
    if reply[0] == 0:
        stored = reply[1].decode()
        # The reply to an earlier sending was lost: all of it was written then, in one step.
        if settlement.position is not None and stored == settlement.position.new:
            return Settled(settlement.parts)
        return Settled((), settlement.parts, refused=stored)
    if reply[0] == 2:
        return Settled((), stale=True, full=reply[1] == b"full")
    _, lost, gone, totals = reply
    if not lost:
        fields = [field for amounts in settlement.counts.values() for field in amounts]
        return Settled(settlement.parts, totals=dict(zip(fields, totals, strict=True)))
    entries = frozenset((gone[i].decode(), gone[i + 1].decode()) for i in range(0, len(gone), 2))
    if is_whole(settlement):
        return Settled((), settlement.parts, gone=entries)
    numbers = set(lost)
    committed: list[Part] = []
    fenced: list[Part] = []
    for index, part in enumerate(settlement.parts):
        (fenced if index in numbers else committed).append(part)
    return Settled(committed, fenced, gone=entries)
